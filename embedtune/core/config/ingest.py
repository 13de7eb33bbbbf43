"""Settings of the stage ingest: how documents become chunks."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.records import RecordSettings
from embedtune.core.config.section import Section, Share


class IngestSettings(Section):
    """Settings that decide how documents become chunks."""

    min_words: int = Field(default=200, ge=1, description="Smallest chunk in words, where the document allows it.")
    max_words: int = Field(
        default=500, ge=10, description="Largest chunk in words; contract.max_length limits its tokens too."
    )
    min_document_words: int = Field(
        default=10, ge=1, description="Documents with fewer words are skipped and listed in skipped.parquet."
    )
    max_file_mb: float = Field(
        default=64.0,
        gt=0,
        description="Larger files are skipped and listed in skipped.parquet, except those that are read piece by "
        "piece: records and mailboxes.",
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description="Patterns of paths that are not read, such as `*.py` or `drafts/*`; `*` matches slashes too.",
    )
    records: tuple[RecordSettings, ...] = Field(
        default=(),
        description="How files of records (JSONL, CSV, TSV, Parquet) are read: by the first entry whose pattern "
        "fits a file. Without one, columns with usual names are used. "
        "XLSX files are records only under a pattern that ends in .xlsx.",
    )
    max_file_seconds: float = Field(
        default=300.0,
        gt=0,
        description="A file that takes longer to read is skipped and listed in skipped.parquet. Of a file that "
        "holds many documents, each may take as long.",
    )
    max_file_memory_gb: float = Field(
        default=4.0, ge=0.5, description="So is a file that takes more memory; a process needs 0.2 GB of it."
    )
    near_duplicate_jaccard: Share = Field(
        default=0.7,
        description="Chunks with at least this Jaccard similarity of word 5-grams are near-duplicates.",
    )
    near_duplicate_containment: Share = Field(
        default=0.8, description="Chunks with at least this containment of word 5-grams are near-duplicates too."
    )
    boilerplate_documents: int = Field(
        default=3,
        ge=1,
        description="A chunk found in more documents than this is boilerplate: no questions are asked about it.",
    )
    max_component_share: Share = Field(
        default=0.3,
        description="Largest share of the chunks that one document, or one family of documents that share "
        "near-duplicates, may have. A larger one is cut into parts at section borders; the chunks next to a "
        "border between splits get no questions.",
    )
    train_share: Share = Field(default=0.7, description="Share of the chunks in the train split.")
    dev_share: Share = Field(
        default=0.1, description="Share of the chunks in the dev split, which chooses the best checkpoint."
    )
    test_share: Share = Field(
        default=0.2, description="Share of the chunks in the test split, which decides the verdict (recipe: 20%)."
    )
    limit: int | None = Field(default=None, ge=1, description="Read only the first N documents.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is greater than max_words {self.max_words}")
        total = self.train_share + self.dev_share + self.test_share
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train_share + dev_share + test_share is {total:g}, but must be 1")
        return self
