"""The serving site that the configuration describes: Triton or a Deployment, with its store and endpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings, ReleaseSettings
from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.remote import open_endpoint
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.deploy.kubernetes import ServingDeployment
from embedtune.deploy.local_triton import LocalTriton
from embedtune.serve.release.record import Release, read_release
from embedtune.serve.store.store import ReleaseStore

RELEASES = "releases"  # folder of the cache
GATEWAY_PORT = 8080


class Serving(Protocol):
    """The server of releases: this machine's Triton, or a Deployment in a cluster."""

    def current(self) -> str | None:
        """Return the id of the release that it serves, or None.

        Raises:
            ArtifactError: Something is served, but the record of it is unreadable.
        """

    def switch(self, release: Release) -> None:
        """Serve another release, and return when it is ready.

        Raises:
            EmbedtuneError: It does not become ready.
        """

    def restore(self, name: str) -> None:
        """Serve an earlier release again, and return when it is ready.

        Raises:
            EmbedtuneError: It does not become ready.
        """

    def withdraw(self) -> None:
        """Stop serving a failed release that has no predecessor, and return when no client is served any more.

        Raises:
            EmbedtuneError: It does not stop.
        """


Connect = Callable[[EncoderContract, str], Encoder]


@dataclass(frozen=True)
class ServingSite:
    """The place where releases go live.

    Args:
        deploy: Settings of the smoke test and the address of the endpoint.
        export: Lowest cosine allowed at each precision.
        release: Who decides which release is live.
        serving: The server that serves it.
        releases: Folder with one directory per release, named by its id.
        store: The store that releases are published to; None: they stay on this machine.
        connect: Returns an encoder for the endpoint, given the contract and the name of the model.
    """

    deploy: DeploySettings
    export: ExportSettings
    release: ReleaseSettings
    serving: Serving
    releases: Path
    store: ReleaseStore | None
    connect: Connect

    def find(self, name: str) -> Release:
        """Return a release by its id, verified; it is downloaded if it is not on this machine.

        Raises:
            InputError: It is neither here nor in the store.
            ArtifactError: It is damaged.
        """
        path = self.releases / name
        if path.is_dir():
            return read_release(path)
        if self.store is not None:
            return self.store.download(name, self.releases)
        raise InputError(f"there is no release {name} on this machine", expected=str(path))

    def before(self) -> str | None:
        """Return the release to go back to: the one recorded as live, or else the one that is served.

        Raises:
            ArtifactError: The record of the live release is unreadable.
        """
        live = self.store.live() if self.store else None
        return live.id if live else self.serving.current()

    def champion(self) -> str | None:
        """Return the fingerprint of the model recorded as live; None if none is recorded.

        A release that is merely served is not the champion: it has not passed its smoke test.

        Raises:
            ArtifactError: The record of the live release is unreadable.
        """
        live = self.store.live_release() if self.store else None
        return live.model if live else None


def open_store(release: ReleaseSettings, storage: StorageSettings, secrets: Secrets) -> ReleaseStore:
    """Return the release store.

    Raises:
        ConfigError: None is configured.
    """
    if release.uri is None:
        raise ConfigError(
            "no release store is configured",
            expected="release.uri=s3://bucket/prefix",
            fix="--set release.uri=s3://… --set storage.endpoint=host:port",
        )
    return ReleaseStore(release.uri, storage, secrets)


def open_site(config: Config, secrets: Secrets, cache: Path) -> ServingSite:
    """Return the serving site that a configuration describes.

    Args:
        config: Target, store and endpoint.
        secrets: Credentials of the store and of the gateway.
        cache: Its folder `releases` keeps the releases of this machine.

    Raises:
        ConfigError: Settings contradict each other, or something is not configured.
    """
    settings, store = config.deploy, None
    if config.release.uri is not None or settings.target == "kubernetes":
        store = open_store(config.release, config.storage, secrets)
    if settings.target == "local" and config.release.owner == "values":
        raise ConfigError(
            "release.owner=values needs the Helm chart", got="deploy.target=local", expected="kubernetes"
        )

    def path_of(name: str) -> Path:
        return site.find(name).path

    serving: LocalTriton | ServingDeployment
    if settings.target == "local":
        serving = LocalTriton(settings.port, path_of, settings.timeout_s)
    else:
        owned = config.release.owner == "deploy"
        serving = ServingDeployment(settings.namespace, settings.deployment, settings.timeout_s, owned=owned)
    url = endpoint_url(settings)

    def connect(contract: EncoderContract, model_name: str) -> Encoder:
        return open_endpoint(url, contract, model_name, secrets.endpoint_api_key)

    site = ServingSite(settings, config.export, config.release, serving, cache / RELEASES, store, connect)
    return site


def endpoint_url(settings: DeploySettings) -> str:
    """Return the address of the live service."""
    if settings.endpoint is not None:
        return settings.endpoint
    if settings.target == "local":
        return f"grpc://127.0.0.1:{settings.port + 1}"
    return f"http://{settings.deployment}.{settings.namespace}.svc:{GATEWAY_PORT}"
