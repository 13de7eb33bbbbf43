"""What bench/gain.py compares: how to train, and how far to go back to the base model afterwards."""

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the base model's weights in the measured model; 0 is what was trained


def in_batch(rate: str, negatives: int = 0, loss: str = "in_batch") -> tuple[str, ...]:
    """Return the settings of a training on all passages of the batch."""
    return (
        f"train.loss={loss}",
        "train.temperature=0.05",
        f"train.learning_rate={rate}",
        f"train.negatives={negatives}",
        f"mine.min_negatives={negatives}",
    )


# What differs from the preset minilm, whose base_share is ignored.
RECIPES = {
    # The published recipe's loss and values.
    "nvidia": (
        "train.loss=own_negatives",
        "train.temperature=0.02",
        "train.learning_rate=1e-5",
        "train.negatives=4",
    ),
    "mined-2e-5": in_batch("2e-5", 4),  # the presets until 30 November 2026
    "mined-1e-4": in_batch("1e-4", 4),
    "batch-2e-5": in_batch("2e-5"),
    "batch-5e-5": in_batch("5e-5"),
    "batch-1e-4": in_batch("1e-4"),
    "hybrid-5e-5": in_batch("5e-5", loss="hybrid"),
    "hybrid-1e-4": in_batch("1e-4", loss="hybrid"),  # the presets since then
    "hybrid-2e-4": in_batch("2e-4", loss="hybrid"),
}
