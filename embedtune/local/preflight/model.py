"""The base model: whether it is there, and is what the contract says."""

from collections.abc import Iterator
from pathlib import Path

from embedtune.core.encoders.weights import weight_files
from embedtune.core.errors import EmbedtuneError
from embedtune.core.progress import SilentProgress
from embedtune.local.preflight.finding import Finding, IntendedRun


def check_model(run: IntendedRun) -> Iterator[Finding]:
    """Find the base model, and if there is time, embed a text with it.

    Raises:
        EmbedtuneError: It cannot be found, downloaded or loaded, or differs from the contract.
    """
    config, path = run.config, run.base
    if isinstance(path, EmbedtuneError):
        raise path
    found = f"{config.contract.base_model}, {weight_bytes(path) / 1e6:.0f} MB"
    if run.thorough:
        # Imported here, so that a run that ends with ingest does not wait for torch.
        from embedtune.core.encoders.pytorch import TorchEncoder

        encoder = TorchEncoder(path, config.contract, config.runtime)
        found += f", {encoder.encode_queries(['ready?'], SilentProgress()).shape[1]} dimensions"
    yield Finding("fine", "base model", found)


def weight_bytes(path: Path) -> int:
    """Return the size of a model's weights."""
    return sum(file.stat().st_size for file in weight_files(path))
