"""A server of Kubeflow Pipelines: how it is reached, and its refusals as errors that say what to do.

The calls are those of KFP's own generated API classes. `kfp.Client`, which wraps them, prints to stdout, keeps the
namespace in a file in the home directory, and cannot give a run a description.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.errors import ConfigError, EmbedtuneError, InputError

TIMEOUT_S = 60.0  # of one request
PAGE = 100  # entries per page of a list
PORT_FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80"
# What to do about an HTTP status of the API.
ADVICE = {
    401: "name a file with a service account's token whose audience is pipelines.kubeflow.org: --token-file",
    403: "let this service account create and read runs and pipelines in the namespace, or name another namespace",
}


class KubeflowError(EmbedtuneError):
    """Kubeflow Pipelines refused a request, or cannot be reached.

    Args:
        what: What happened, in one sentence.
        status: The HTTP status; None: there was no answer.
        got: What the server said.
        fix: What to do about it.
    """

    def __init__(self, what: str, *, status: int | None, got: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, got=got, fix=fix)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status == 429 or self.status >= 500


@dataclass(frozen=True)
class Access:
    """How a server is reached.

    Args:
        endpoint: URL of the API or, better, of the UI, which passes the API on and knows the figures of runs.
        namespace: Namespace of the runs, for an installation with several users; "": none.
        token_file: File with a service account's token, which is read again for each request, since Kubernetes
            replaces it before it expires.
        ca_file: PEM file with the certificates that sign the server's; None: those that browsers trust.
        ui: URL of the UI; "": the endpoint, if it is one.
    """

    endpoint: str
    namespace: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    ui: str = ""


@dataclass(frozen=True)
class Server:
    """A server that has answered.

    Args:
        client: KFP's `ApiClient`, which has no types.
        namespace: Namespace of the runs; None: the installation has one user.
        ui: URL of the UI; "": it is not known.
    """

    client: Any
    namespace: str | None
    ui: str

    @property
    def endpoint(self) -> str:
        """URL of the API."""
        return str(self.client.configuration.host)

    @property
    def is_ui(self) -> bool:
        """Whether the endpoint is the UI, which passes on only a part of the API."""
        return self.ui == self.endpoint

    def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return the answer of a method of KFP's API.

        Raises:
            KubeflowError: The server refused the request, or did not answer.
        """
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return method(*args, _request_timeout=TIMEOUT_S, **options)
        except ApiException as error:
            raise _refusal(error.status, error.body or error.reason, self.endpoint) from error
        except HTTPError as error:
            raise KubeflowError(
                f"Kubeflow Pipelines does not answer at {self.endpoint}",
                status=None,
                got=" ".join(str(getattr(error, "reason", None) or error).split())[:300],
                fix=f"check the address and the network, or reach it by: {PORT_FORWARD}",
            ) from error

    def listed(self, method: Callable[..., Any], entries: str, *args: Any, **options: Any) -> Iterator[Any]:
        """Yield the entries of a list, page by page."""
        token = ""
        while True:
            page = self.call(method, *args, page_token=token, page_size=PAGE, **options)
            yield from getattr(page, entries) or ()
            if not (token := page.next_page_token):
                return

    def get(self, path: str, kind: str = "object") -> Any:
        """Return the answer to a GET request: parsed JSON or, if `kind` is "str", text."""
        headers = {"Accept": "*/*"}
        options = {"auth_settings": ["Bearer"], "response_type": kind, "_return_http_data_only": True}
        return self.call(self.client.call_api, path, "GET", header_params=headers, **options)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the answer to a POST request to another URL than the API's, with the same credentials."""
        authorization = self.client.configuration.auth_settings().get("Bearer")
        sent = {**headers, **({authorization["key"]: authorization["value"]} if authorization else {})}
        options = {"headers": sent, "timeout": TIMEOUT_S}

        def request(_request_timeout: float) -> Any:
            return self.client.rest_client.pool_manager.request("POST", url, body=body, **options)

        answer = self.call(request)
        if answer.status != 200:
            raise _refusal(answer.status, answer.data.decode(errors="replace"), url)
        return bytes(answer.data)

    def page(self, fragment: str) -> str | None:
        """Return the URL of a page of the UI; None if the UI is not known."""
        return f"{self.ui}/#/{fragment}" if self.ui else None

    @property
    def here(self) -> dict[str, str]:
        """The option that limits a list to the namespace."""
        return {"namespace": self.namespace} if self.namespace else {}


def connect(access: Access) -> Server:
    """Return a server that has answered.

    Raises:
        ConfigError: The endpoint is missing or no URL, or an installation with several users needs a namespace.
        InputError: The file with the token or the certificates cannot be read.
        KubeflowError: There is no KFP at the endpoint.
    """
    import kfp_server_api

    _check(access)
    configuration = kfp_server_api.Configuration(host=access.endpoint.rstrip("/"))
    configuration.ssl_ca_cert = str(access.ca_file) if access.ca_file else None
    if (token := access.token_file) is not None:
        configuration.api_key["authorization"] = read_token(token)
        configuration.api_key_prefix["authorization"] = "Bearer"
        configuration.refresh_api_key_hook = lambda live: live.api_key.update(authorization=read_token(token))
    found = Server(kfp_server_api.ApiClient(configuration), access.namespace or None, "")
    health = found.get("/apis/v2beta1/healthz")
    if not isinstance(health, dict):
        raise KubeflowError(
            f"{access.endpoint} is not the API of Kubeflow Pipelines", status=200, fix=PORT_FORWARD
        )
    several = bool(health.get("multi_user"))
    if several and not access.namespace:
        raise ConfigError("this Kubeflow has several users", fix="name the namespace of the runs: --namespace")
    # Only the UI's own server says which version of the UI it has.
    own = access.endpoint if "frontendCommitHash" in health or "frontendTagName" in health else ""
    return Server(found.client, access.namespace if several else None, (access.ui or own).rstrip("/"))


def equals(key: str, value: str) -> str:
    """Return a filter of KFP's lists. MySQL ignores case: whoever needs the very same value compares again."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        InputError: It cannot be read, or there is none.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token in {path} cannot be read", got=str(error)) from error
    if not token:
        raise InputError(f"there is no token in {path}")
    return token


def _check(access: Access) -> None:
    if not access.endpoint:
        raise ConfigError(
            "no server of Kubeflow Pipelines is named",
            expected="--endpoint URL, or the variable KFP_ENDPOINT",
            fix=f"for example http://localhost:8080 after: {PORT_FORWARD}",
        )
    for name, url in (("endpoint", access.endpoint), ("UI", access.ui)):
        if url and not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"the {name} is not a URL", got=url, expected="http://host:port or https://host/path"
            )
    if access.ca_file is not None and not access.ca_file.is_file():
        raise InputError("there is no file with certificates", got=str(access.ca_file))


def _refusal(status: int, body: str, endpoint: str) -> KubeflowError:
    """Return the error for an answer that is none, usually a google.rpc.Status as JSON."""
    try:
        parsed = json.loads(body)
        said = str(parsed.get("message") or parsed.get("error_message") or parsed.get("error") or body)
    except (ValueError, AttributeError):
        said = str(body)
    what = {401: "Kubeflow Pipelines does not know who is asking", 403: "this is not allowed"}.get(
        status, f"Kubeflow Pipelines at {endpoint} answers with {status}"
    )
    return KubeflowError(what, status=status, got=" ".join(said.split())[:1000], fix=ADVICE.get(status))
