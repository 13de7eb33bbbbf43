"""What people decided about the questions of a work directory: kept there, and used by the next run."""

from pathlib import Path

from embedtune.core.config.config import Config
from embedtune.core.records.reviews import REVIEWS_FILE, Review, read_reviews


def with_reviews(config: Config, work: Path) -> Config:
    """Return the configuration with the reviews of a work directory, unless it names others."""
    path = work / REVIEWS_FILE
    if config.generate.reviews is not None or not path.is_file():
        return config
    return config.model_copy(update={"generate": config.generate.model_copy(update={"reviews": str(path)})})


def known_reviews(work: Path) -> dict[str, Review]:
    """Return what was decided about the questions of a work directory so far."""
    path = work / REVIEWS_FILE
    return read_reviews(path) if path.is_file() else {}
