"""Refuses a run that cannot end well, in its first component, before anything is spent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ConfigError, EmbedtuneError
from embedtune.core.secrets import Secrets
from embedtune.deploy.champion import live_model, require_live, require_stored
from embedtune.deploy.site import open_store
from embedtune.local.preflight.checks import CHECKS, require_ready
from embedtune.local.preflight.finding import IntendedRun

CHECKED = {"settings", "documents", "LLM endpoint", "release store"}  # what a pod of another task will need
PATIENCE_S = 30.0
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# The keys of the Secrets, as pipelines/resources.py mounts them; the prefix of their names is the pipeline's.
STORAGE_SECRET = "embedtune-storage with the keys access-key and secret-key"  # noqa: S105 - a name
LLM_SECRET = "embedtune-llm with the key api-key"  # noqa: S105


def require_good_end(config: Config, secrets: Secrets, documents: str, *, deploys: bool) -> None:
    """Check what later tasks will need, by really trying it.

    Args:
        config: The configuration.
        secrets: What the Kubernetes Secrets hold.
        documents: Address of the documents.
        deploys: Whether the run deploys if its model is better.

    Raises:
        EmbedtuneError: Something is wrong.
    """
    _require_pinned(config.contract)
    stages = {"ingest", "generate"} | ({"deploy"} if deploys else set())
    checks = [check for check in CHECKS if check.checked in CHECKED]
    run = IntendedRun(config, secrets, frozenset(stages), documents=documents, patience_s=PATIENCE_S)
    require_ready(run, checks)


def _require_pinned(contract: EncoderContract) -> None:
    """Refuse a base model of the hub without a commit; only later tasks have what they need to load it.

    A path is left to them: their volume is not here.
    """
    if contract.revision is None and not contract.base_model.startswith(("package:", "s3://", "/", ".")):
        raise ConfigError(
            "the base model's revision is not pinned",
            got=contract.base_model,
            expected='{"contract.revision": "COMMIT"} in overrides',
            fix="name the commit that you reviewed, or choose minilm, whose model is in the images",
        )


def find_champion(config: Config, secrets: Secrets, typed: str, *, deploys: bool) -> str:
    """Return the address of the model to compare with: the one that was typed, else the one that is live.

    Args:
        config: The configuration, which names the release store.
        secrets: What the Kubernetes Secrets hold.
        typed: Address of the champion, or empty.
        deploys: Whether the run deploys if its model is better.

    Returns:
        An address; empty if nothing is live, or, in a run that deploys nothing, if the store does not hold it.

    Raises:
        ConfigError: The run could not deploy, since another model is live, or one that the store does not hold.
        EmbedtuneError: It is not known which model is live, or there is none at the address.
    """
    if config.release.uri is None:
        return typed
    live = live_model(open_store(config.release, config.storage, secrets, Path()))
    if live is None or not deploys:
        return typed or (live.address if live else None) or ""
    if typed:
        require_live(typed, live, config.storage, secrets)
        return typed
    require_stored(live, "its address in the field champion; or set deploy_if to never")
    return live.address or ""


@contextmanager
def secrets_named(secrets: Secrets, environment: Mapping[str, str]) -> Iterator[None]:
    """Name the Secret in an error that comes from its absence.

    Args:
        secrets: What the Kubernetes Secrets hold.
        environment: The environment variables; those of a pod say that there are such Secrets.

    Raises:
        EmbedtuneError: The error, with a Secret that is missing in what to do.
    """
    try:
        yield
    except EmbedtuneError as error:
        in_pod = "KUBERNETES_SERVICE_HOST" in environment
        missing = _missing(secrets, str(error)) if in_pod else None
        if missing is None:
            raise
        namespace = NAMESPACE.read_text().strip() if NAMESPACE.is_file() else "of the run"
        named = type(error)(
            error.what,
            got=error.got,
            expected=f"a Secret {missing} in the namespace {namespace} (another prefix than embedtune, if the "
            "pipeline was compiled with one)",
            fix="create the Secret, and run again",
        )
        raise named from error


def _missing(secrets: Secrets, words: str) -> str | None:
    """Return the Secret that is missing, if that explains an error."""
    if "object store refused" in words and not secrets.s3_access_key and secrets.s3_identity is None:
        return STORAGE_SECRET
    if "does not accept the API key" in words and not secrets.llm_api_key:
        return LLM_SECRET
    return None
