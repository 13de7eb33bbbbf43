"""Where a model is pushed to, told from its address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.secrets import Secrets
from embedtune.push.contents import Contents

FOLDER = "model"  # where the texts shown put a model that was downloaded


@dataclass(frozen=True)
class Credentials:
    """What targets need to be let in, which `repr` does not show.

    Args:
        hub_token: Token of the Hugging Face Hub.
        hub_endpoint: Address of another Hub than hf.co.
        oci_username: Name at the OCI registry; None: what `docker login` stored.
        oci_password: Its password or token.
        storage: Keys of the object store.
    """

    hub_token: str | None = field(default=None, repr=False)
    hub_endpoint: str | None = None
    oci_username: str | None = None
    oci_password: str | None = field(default=None, repr=False)
    storage: Secrets = field(default_factory=Secrets)


def credentials_of(environment: Mapping[str, str], storage: Secrets) -> Credentials:
    """Read the credentials from environment variables."""
    return Credentials(
        environment.get("HF_TOKEN") or None,
        environment.get("HF_ENDPOINT") or None,
        environment.get("OCI_USERNAME") or None,
        environment.get("OCI_PASSWORD") or None,
        storage,
    )


@dataclass(frozen=True)
class Found:
    """What is at the target now.

    Args:
        said: It, in words.
        public: Whether everybody can read it; None: the target does not say.
    """

    said: str
    public: bool | None = None


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Args:
        address: Where the model is, as exactly as the target can say: with the commit or digest if it has one.
        changed: Whether anything was written; False: the same model was there already.
    """

    address: str
    changed: bool


class Target(Protocol):
    """A place to push to. A push that was interrupted is repeated by the same call."""

    @property
    def model(self) -> str:
        """Where the pushed model is loaded from: a repository of the Hub, or the folder it is downloaded to."""

    @property
    def download(self) -> str | None:
        """The command that downloads it to that folder; None: libraries load it from where it is."""

    def inspect(self) -> Found:
        """Say what is there; changes nothing.

        Raises:
            EmbedtuneError: It cannot be reached, refuses, or holds what a push would damage.
        """

    def push(self, contents: Contents, *, public: bool) -> Pushed:
        """Write a model; what was pushed before to the same address is replaced.

        Args:
            contents: The model.
            public: Whether a repository that is created is readable by everybody.

        Raises:
            EmbedtuneError: It cannot be reached, refuses, or was written by somebody else in the meantime.
        """


def target_of(address: str, credentials: Credentials, storage: StorageSettings, staging: Path) -> Target:
    """Return the target of an address.

    Args:
        address: `hf://OWNER/NAME`, `oci://HOST/REPOSITORY:TAG` or `s3://BUCKET/PREFIX`.
        credentials: What lets us in.
        storage: The object store, for `s3://`.
        staging: Directory for files that only the push needs.

    Raises:
        InputError: It is of no such form.
        ConfigError: A package or setting for it is missing.
    """
    if address.startswith("hf://"):
        from embedtune.push.hub import HubTarget

        return HubTarget(address, credentials)
    if address.startswith("oci://"):
        from embedtune.push.registry import RegistryTarget

        return RegistryTarget(address, credentials, staging)
    if address.startswith("s3://"):
        from embedtune.push.bucket import BucketTarget

        return BucketTarget(address, credentials, storage)
    raise InputError(
        "embedtune does not know where to push to",
        got=address,
        expected="hf://OWNER/NAME, oci://HOST/REPOSITORY:TAG or s3://BUCKET/PREFIX",
    )
