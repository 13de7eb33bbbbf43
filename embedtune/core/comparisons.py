"""The further data sets and models that evaluate compares a tuned model on and with."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Comparisons:
    """What evaluate measures in addition to base and tuned model on the synthetic test set.

    Args:
        eval_sets: BEIR directories by name, in the user's order; the first one decides the verdict.
        champion: Directory of the model that is live now, or None.
        endpoint: Address of a live service (see `open_endpoint`) to measure too, or None.
    """

    eval_sets: dict[str, Path] = field(default_factory=dict)
    champion: Path | None = None
    endpoint: str | None = None
