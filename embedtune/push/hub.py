"""A repository of the Hugging Face Hub: one commit per push."""

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import cast

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from embedtune.core.errors import ConfigError, InputError
from embedtune.push.contents import Contents
from embedtune.push.target import Credentials, Found, Pushed
from embedtune.report.card_metadata import REPOSITORY

# The error of the HTTP library, also without an answer: httpx's, and since huggingface_hub 2 httpx2's.
HTTP_ERROR = cast(type[Exception], HfHubHTTPError.__bases__[0])
# Weights in other parts than the new ones would be loaded with them; other files of a repository are its owner's.
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
FIXES = {
    401: "check that HF_TOKEN is a valid token",
    403: "use a token that may write to this repository: hf.co/settings/tokens",
    404: "check the owner's name, and that the token sees it",
    409: "run the same command again",
    412: "look at its last commit, then run the same command again",
    429: "wait some minutes, then run the same command again",
}
WHAT = {
    409: "somebody else is writing to the repository",
    412: "somebody else has pushed to the repository in the meantime",
}


class HubTarget:
    """A repository of the Hub.

    Args:
        address: `hf://OWNER/NAME`.
        credentials: The token, and the address of another Hub.

    Raises:
        InputError: The address is wrong.
        ConfigError: There is no token.
    """

    download = None

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.model = address.removeprefix("hf://").strip("/")
        if not REPOSITORY.fullmatch(self.model):
            raise InputError("not a repository of the Hugging Face Hub", got=address, expected="hf://OWNER/NAME")
        if credentials.hub_token is None:
            raise ConfigError(
                "pushing to the Hugging Face Hub needs a token",
                expected="the environment variable HF_TOKEN, with a token that may write",
                fix="make one at hf.co/settings/tokens, then `export HF_TOKEN=…`",
            )
        self._api = HfApi(endpoint=credentials.hub_endpoint, token=credentials.hub_token)

    def inspect(self) -> Found:
        """Say whether the repository exists, and who can read it."""
        info = self._info()
        if info is None:
            return Found("nothing: the repository is created")
        readers = "private" if info.private else "readable by everybody"
        return Found(f"a repository, {readers}, at commit {str(info.sha)[:7]}", public=not info.private)

    def push(self, contents: Contents, *, public: bool) -> Pushed:
        """Create the repository if there is none, and commit what differs.

        Raises:
            InputError: The Hub refuses or does not answer, or somebody else pushed in the meantime.
        """
        with self._explained():
            self._api.create_repo(self.model, private=not public, exist_ok=True)
            info = self._api.model_info(self.model)
            there = [sibling.rfilename for sibling in info.siblings or ()]
            stale = [
                name
                for name in there
                if name not in contents.files and any(fnmatch(name, pattern) for pattern in WEIGHTS)
            ]
            done = self._api.create_commit(
                self.model,
                [
                    *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale),
                    *(CommitOperationAdd(name, path) for name, path in contents.files.items()),
                ],
                commit_message="Push a model tuned with embedtune",
                parent_commit=info.sha,
            )
        return Pushed(f"{self._api.endpoint}/{self.model}/tree/{done.oid}", changed=done.oid != info.sha)

    def _info(self) -> ModelInfo | None:
        with self._explained():
            try:
                return self._api.model_info(self.model)
            except RepositoryNotFoundError as error:
                # The Hub hides what a token must not see, so a refused token looks like no repository.
                if error.response.status_code == 401:
                    raise
                return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
        except (HTTP_ERROR, RuntimeError, ValueError, OSError) as error:
            status = _status(error)
            reason = error.server_message if isinstance(error, HfHubHTTPError) else None
            raise InputError(
                WHAT.get(status or 0, "the Hugging Face Hub refused the push or did not answer"),
                got=f"{self.model} at {self._api.endpoint}: {f'HTTP {status}, ' if status else ''}"
                f"{reason or _words(error)}",
                fix=FIXES.get(status or 0, "run the same command again; what was uploaded is not sent twice"),
            ) from error


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error or of what caused it: errors of uploads are wrapped."""
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__
    return None


def _words(error: BaseException) -> str:
    causes = [str(error), *([str(error.__cause__)] if error.__cause__ else [])]
    return ": ".join(text.strip() for text in causes if text.strip()) or type(error).__name__
