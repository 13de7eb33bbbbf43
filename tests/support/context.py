"""The context that tests run stages in, and the provenance of artifacts that tests write."""

from collections.abc import Mapping
from pathlib import Path

from embedtune.core.artifacts import Provenance, Settings
from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context

CONTRACT = EncoderContract(base_model="./base", dimensions=(32,))


def context(
    config: Config, cache: Path, progress: Progress | None = None, secrets: Secrets | None = None
) -> Context:
    """Return a context, by default without credentials and with silent progress."""
    return Context(config, secrets or Secrets(), progress or SilentProgress(), cache)


def provenance(
    settings: Settings | None = None,
    inputs: Mapping[str, str] | None = None,
    *,
    seed: int = 1,
    contract: EncoderContract = CONTRACT,
    code: str = "test",
) -> Provenance:
    """Return the provenance of an artifact that a test writes."""
    return Provenance(seed, contract, settings or {}, dict(inputs or {}), code)
