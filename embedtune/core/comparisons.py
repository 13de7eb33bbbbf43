"""What a tuned model is compared on and with, in addition to its own test split and its base."""

from dataclasses import dataclass, field
from pathlib import Path

SYNTHETIC = "synthetic"  # the evaluation set that is the dataset's own test split


@dataclass(frozen=True)
class Comparisons:
    """Further retrieval sets and models for evaluate.

    Args:
        eval_sets: BEIR directories by name, in the user's order; the first one decides.
        champion: Model directory that is live now, or None.
        endpoint: Address of a live service (see `open_endpoint`) that is measured too, or None.
    """

    eval_sets: dict[str, Path] = field(default_factory=dict)
    champion: Path | None = None
    endpoint: str | None = None
