"""The serving site that the configuration describes: the release store, and the replicas that follow it."""

from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings, ReleaseSettings
from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import Secrets
from embedtune.deploy.local_replica import LocalReplica
from embedtune.serve.pod import store_environment
from embedtune.serve.release.signature import Signing
from embedtune.serve.store.store import ReleaseStore

BUILT, STORE = "releases", "store"  # folders of the cache
GATEWAY_PORT = 8080


@dataclass(frozen=True)
class ServingSite:
    """Where releases are published and served.

    Args:
        deploy: How releases are proven, and the address of the endpoint.
        export: Lowest cosine allowed at each precision.
        built: Folder for releases that are built here, one directory each.
        store: The store that releases are published to, and whose pointer replicas follow.
        storage: How replicas of this machine reach it.
        response_cache_mb: Size of Triton's response cache on this machine.
    """

    deploy: DeploySettings
    export: ExportSettings
    built: Path
    store: ReleaseStore
    storage: StorageSettings
    response_cache_mb: int = 0

    def start(self) -> None:
        """Start the replica of this machine, unless it runs, or replicas are elsewhere.

        Raises:
            EmbedtuneError: It does not start, or another one occupies its port.
        """
        if self.deploy.target == "local":
            uri = self.store.objects.uri
            options = ("--response-cache-mb", str(self.response_cache_mb))
            replica = LocalReplica(self.deploy.port, self.deploy.timeout_s)
            replica.ensure(uri, store_environment(uri, self.storage, self.store.signing.public), options)

    def how_to_start(self) -> str:
        """Return what to do if no replica reports."""
        if self.deploy.target == "local":
            return "see the log of the local Triton in ~/.cache/embedtune/local"
        return (
            f"install charts/triton with storage.releases={self.store.objects.uri}, and see "
            f"kubectl -n {self.deploy.namespace} get pods, events"
        )

    def champion(self) -> str | None:
        """Return the fingerprint of the model that is live; None if none is.

        Raises:
            ArtifactError: The pointer is unreadable.
        """
        live = self.store.live_release()
        return live.model if live else None


def open_store(release: ReleaseSettings, storage: StorageSettings, secrets: Secrets, cache: Path) -> ReleaseStore:
    """Return the release store.

    Args:
        release: Its address; without one it is a folder of the cache.
        storage: The object store of an s3:// address.
        secrets: Its credentials.
        cache: The cache of the work directory.

    Raises:
        ConfigError: The object store is not configured, or a key cannot be read.
    """
    public = None
    if release.public_key is not None:
        try:
            public = release.public_key.read_text()
        except (OSError, ValueError) as error:
            raise ConfigError("release.public_key cannot be read", got=str(error)) from error
    signing = Signing(release.signing_key, public)
    return ReleaseStore(release.uri or str(cache / STORE), storage, secrets, signing=signing)


def open_site(config: Config, secrets: Secrets, cache: Path) -> ServingSite:
    """Return the serving site that a configuration describes.

    Args:
        config: Target, store and endpoint.
        secrets: Credentials of the store.
        cache: The cache of the work directory, with the releases that were built there.

    Raises:
        ConfigError: Something is not configured.
    """
    store = open_store(config.release, config.storage, secrets, cache)
    cached = config.serve.response_cache_mb
    return ServingSite(config.deploy, config.export, cache / BUILT, store, config.storage, cached)


def endpoint_url(settings: DeploySettings) -> str:
    """Return the address of the live service."""
    if settings.endpoint is not None:
        return settings.endpoint
    if settings.target == "local":
        return f"grpc://127.0.0.1:{settings.port + 1}"
    return f"http://{settings.deployment}.{settings.namespace}.svc:{GATEWAY_PORT}"
