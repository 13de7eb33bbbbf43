"""How long a base model takes to embed a passage on this machine."""

import time
from collections.abc import Sequence
from pathlib import Path

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import Progress, SilentProgress

PROBE_PASSAGES = 64


def seconds_per_passage(
    base: Path, contract: EncoderContract, runtime: RuntimeSettings, texts: Sequence[str], progress: Progress
) -> float:
    """Embed some of the passages, without the vector cache, and return the seconds that one took.

    Args:
        base: Directory of the model.
        contract: How it makes vectors.
        runtime: Device, precision and batch size.
        texts: The passages, at least one.
        progress: Says what is waited for.
    """
    encoder = TorchEncoder(base, contract, runtime)
    sample = list(texts[:: max(1, len(texts) // PROBE_PASSAGES)][:PROBE_PASSAGES])
    with progress.task("measure the speed", len(sample), "passages"):
        encoder.encode_passages(sample[:4], SilentProgress())  # loads the model, which is not measured
        began = time.perf_counter()
        encoder.encode_passages(sample, SilentProgress())
        return (time.perf_counter() - began) / len(sample)
