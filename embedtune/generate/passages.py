"""The passages that questions are written about: the distinct chunks from ingest, in a stable order."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet as pq

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import GateError

FEWEST = {"train": 1, "dev": 3, "test": 3}  # usable passages; with fewer, the figures of a split are an accident


class ChunkRow(TypedDict):
    """The columns of chunks.parquet that generate reads."""

    chunk_id: str
    doc_id: str
    text: str
    heading_path: list[str]
    group_id: str
    split: str
    boilerplate: bool
    border: bool


@dataclass(frozen=True)
class Passage:
    """A chunk; `text` is the embedded string, heading path included.

    No questions are asked about boilerplate, nor about chunks at a border between splits.
    """

    chunk_id: str
    doc_id: str
    text: str
    group_id: str
    split: str
    boilerplate: bool
    border: bool = False

    @property
    def usable(self) -> bool:
        """Whether questions may be asked about it."""
        return not (self.boilerplate or self.border)


def read_passages(chunks: Path, contract: EncoderContract) -> list[Passage]:
    """Read each distinct chunk once, ordered by chunk_id.

    Args:
        chunks: The chunks artifact.
        contract: Renders the passages.
    """
    table = pq.read_table(chunks / "chunks.parquet", columns=list(ChunkRow.__annotations__))
    rows: list[ChunkRow] = table.to_pylist()
    found: dict[str, Passage] = {}
    for row in rows:
        text = contract.render_passage(row["heading_path"], row["text"])
        names = (row["chunk_id"], row["doc_id"], text, row["group_id"], row["split"])
        passage = Passage(*names, row["boilerplate"], row["border"])
        found.setdefault(passage.chunk_id, passage)
    return [found[chunk_id] for chunk_id in sorted(found)]


def require_evaluable(passages: Iterable[Passage], settings: IngestSettings) -> None:
    """Check, before any question is paid for, that a model tuned on these passages can be measured.

    Args:
        passages: All passages.
        settings: The shares of the splits; one whose share is 0 need not have any.

    Raises:
        GateError: Train, dev or test has too few passages that questions can be asked about.
    """
    usable = Counter(passage.split for passage in passages if passage.usable)
    shares = {"train": settings.train_share, "dev": settings.dev_share, "test": settings.test_share}
    short = [split for split, share in shares.items() if share and usable[split] < FEWEST[split]]
    if short:
        raise GateError(
            f"too few passages to measure a tuned model: {' and '.join(short)} would be almost empty",
            got=", ".join(f"{usable[split]} in {split}" for split in shares),
            expected=f"at least {FEWEST['test']} in dev and in test",
            fix="add documents (a single one must have 24 passages), or lower ingest.min_words and "
            "ingest.max_words for more passages; with a test set of your own, set ingest.test_share to 0",
        )
