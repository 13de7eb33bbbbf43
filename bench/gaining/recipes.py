"""What bench/gain.py compares: how to train, and how far to go back to the base model afterwards."""

from dataclasses import dataclass

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the base model's weights in the measured model; 0 is what was trained


@dataclass(frozen=True)
class Recipe:
    """A way to train.

    Args:
        settings: What differs from the preset `minilm`.
        why: What it shows.
    """

    settings: tuple[str, ...]
    why: str


def in_batch(rate: str, negatives: int = 0, *more: str) -> tuple[str, ...]:
    return (
        "train.loss=in_batch",
        "train.temperature=0.05",
        f"train.learning_rate={rate}",
        f"train.negatives={negatives}",
        *more,
    )


RECIPES = {
    "nvidia": Recipe(
        (
            "train.loss=own_negatives",
            "train.temperature=0.02",
            "train.learning_rate=1e-5",
            "train.negatives=4",
        ),
        "the published recipe's loss and values",
    ),
    "mined-2e-5": Recipe(in_batch("2e-5", 4), "the preset minilm until today"),
    "mined-1e-4": Recipe(in_batch("1e-4", 4), "the same with a learning rate that moves the weights"),
    "batch-2e-5": Recipe(in_batch("2e-5"), "without mined negatives"),
    "batch-5e-5": Recipe(in_batch("5e-5"), "the same, faster"),
    "batch-1e-4": Recipe(in_batch("1e-4"), "the same, faster still"),
}
