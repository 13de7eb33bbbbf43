"""Settings of the stage ingest: how documents become chunks."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share


class IngestSettings(Section):
    """How documents become chunks."""

    min_words: int = Field(default=200, ge=1, description="Chunks are filled to at least this many words.")
    max_words: int = Field(
        default=500, ge=10, description="Upper bound; the contract's max_length in tokens binds too."
    )
    min_document_words: int = Field(default=10, ge=1, description="Shorter documents are skipped and listed.")
    max_file_mb: float = Field(default=64.0, gt=0, description="Larger files are skipped and listed.")
    near_duplicate_jaccard: Share = Field(default=0.7, description="Word-5-gram Jaccard of near-duplicates.")
    near_duplicate_containment: Share = Field(default=0.8, description="Or this containment.")
    boilerplate_documents: int = Field(
        default=3, ge=1, description="A chunk in more documents than this is boilerplate: no questions."
    )
    max_component_share: Share = Field(
        default=0.3, description="A split unit above this share of the corpus is an error."
    )
    train_share: Share = Field(default=0.7, description="Share of chunks whose documents train may see.")
    dev_share: Share = Field(default=0.1, description="Share that picks the best checkpoint.")
    test_share: Share = Field(default=0.2, description="Share that decides (recipe: 20 %).")
    limit: int | None = Field(default=None, ge=1, description="Read only the first N documents.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        total = self.train_share + self.dev_share + self.test_share
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train_share + dev_share + test_share is {total:g}, must be 1")
        return self
