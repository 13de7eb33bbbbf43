"""The environment that a configuration means: store, serving and endpoint."""

from pathlib import Path

from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.remote import open_endpoint
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import Secrets
from embedtune.deploy.kubernetes import ServingDeployment
from embedtune.deploy.local import LocalTriton
from embedtune.deploy.rollout import Environment
from embedtune.serve.store.store import ReleaseStore

RELEASES = "releases"  # folder of the cache
GATEWAY_PORT = 8080


def open_store(config: Config, secrets: Secrets) -> ReleaseStore:
    """Return the store of releases.

    Raises:
        ConfigError: None is configured.
    """
    if config.release.uri is None:
        raise ConfigError(
            "no store of releases is configured",
            expected="release.uri=s3://bucket/prefix",
            fix="--set release.uri=s3://… --set storage.endpoint=host:port",
        )
    return ReleaseStore(config.release.uri, config.storage, secrets)


def open_environment(config: Config, secrets: Secrets, cache: Path) -> Environment:
    """Return where releases go live.

    Args:
        config: Target, store and endpoint.
        secrets: Credentials of the store and of the gateway.
        cache: Keeps releases of this machine, in a folder.

    Raises:
        ConfigError: Settings contradict each other, or something is not configured.
    """
    settings, store = config.deploy, None
    if config.release.uri is not None or settings.target == "kubernetes":
        store = open_store(config, secrets)
    if settings.target == "local" and config.release.owner == "values":
        raise ConfigError("release.owner=values is for a chart", got="deploy.target=local", expected="kubernetes")
    releases = cache / RELEASES

    def path_of(name: str) -> Path:
        return environment.release(name).path

    serving: LocalTriton | ServingDeployment
    if settings.target == "local":
        serving = LocalTriton(settings.port, path_of, settings.timeout_s)
    else:
        owned = config.release.owner == "deploy"
        serving = ServingDeployment(settings.namespace, settings.deployment, settings.timeout_s, owned=owned)
    url = endpoint_url(config)

    def connect(contract: EncoderContract, model_name: str) -> Encoder:
        return open_endpoint(url, contract, model_name, secrets.endpoint_api_key)

    environment = Environment(config, serving, releases, store, connect)
    return environment


def endpoint_url(config: Config) -> str:
    """Return the address of the live service."""
    settings = config.deploy
    if settings.endpoint is not None:
        return settings.endpoint
    if settings.target == "local":
        return f"grpc://127.0.0.1:{settings.port + 1}"
    return f"http://{settings.deployment}.{settings.namespace}.svc:{GATEWAY_PORT}"
