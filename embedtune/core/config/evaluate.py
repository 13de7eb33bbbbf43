"""Settings of the stage evaluate: cut-offs, intervals and the deciding set."""

from typing import Annotated

from pydantic import Field

from embedtune.core.config.section import Section


class EvaluateSettings(Section):
    """Settings of the comparison of the base and tuned models."""

    k: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        default=(1, 5, 10, 100),
        description="Cut-offs of the metrics; 10 is always included, since the verdict needs it.",
    )
    interval_samples: int = Field(
        default=10_000, ge=100, description="Number of random halves of the document families behind an interval."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Confidence level of the intervals.")
    decide_on: str | None = Field(
        default=None,
        description="Set that decides the verdict; None: the first --eval-set that is not a guard set, else the "
        "synthetic test set.",
    )
    guard_sets: tuple[str, ...] = Field(
        default=(),
        description="Names of --eval-sets that never decide: questions about other things than your documents, on "
        "which the tuned model must not be worse. As on every set, a loss there is a REGRESSION.",
    )
    slice_by: tuple[str, ...] = Field(
        default=(),
        description="Metadata columns (`ingest.records.metadata`) by whose values results are shown too, for "
        "example [Priority]: a question has the value of the documents that answer it.",
    )
    examples: int = Field(
        default=10,
        ge=0,
        le=100,
        description="Number of wins and of losses shown in the report, chosen at random with the seed.",
    )
