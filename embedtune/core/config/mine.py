"""Settings of the stage mine: how many hard negatives, and how far from the positive."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share


class MineSettings(Section):
    """Hard negatives: confusing, but truly wrong."""

    negatives: int = Field(
        default=5, ge=1, le=100, description="Number of hard negatives mined per query (recipe: 5)."
    )
    min_negatives: int = Field(
        default=4,
        ge=0,
        description="Queries with fewer negatives than this are dropped; 0 drops none, for training without them.",
    )
    margin: float = Field(
        default=0.05,
        ge=0.0,
        lt=1.0,
        description="Candidates that score above p - margin*|p| are rejected, p being the lowest score of a "
        "positive (recipe: 0.05).",
    )
    max_short_share: Share = Field(
        default=0.3, description="Largest share of queries that may have too few negatives."
    )
    block: int = Field(
        default=50_000, ge=256, description="Number of passages held in memory at once (recipe: 50,000)."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_negatives > self.negatives:
            raise ValueError(f"min_negatives {self.min_negatives} is greater than negatives {self.negatives}")
        return self
