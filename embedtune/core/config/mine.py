"""Settings of the stage mine: how many hard negatives, and how far from the positive."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share


class MineSettings(Section):
    """Hard negatives: confusing, but truly wrong."""

    negatives: int = Field(default=5, ge=1, le=100, description="Mined for each query (recipe: 5).")
    min_negatives: int = Field(default=4, ge=1, description="Fewer drop the query.")
    margin: float = Field(
        default=0.05, ge=0.0, lt=1.0, description="Candidates above p - margin*|p| are rejected (recipe: 95 %)."
    )
    max_short_share: Share = Field(default=0.3, description="More queries with too few negatives stop the run.")
    block: int = Field(default=50_000, ge=256, description="Passages held in memory at once (recipe: 50,000).")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_negatives > self.negatives:
            raise ValueError(f"min_negatives {self.min_negatives} is above negatives {self.negatives}")
        return self
