"""The passages that questions are written about: the distinct chunks from ingest, in a stable order."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet as pq

from embedtune.core.contract import EncoderContract


class ChunkRow(TypedDict):
    """The columns of chunks.parquet that generate reads."""

    chunk_id: str
    doc_id: str
    text: str
    heading_path: list[str]
    group_id: str
    split: str
    boilerplate: bool


@dataclass(frozen=True)
class Passage:
    """A chunk; `text` is the embedded string, heading path included."""

    chunk_id: str
    doc_id: str
    text: str
    group_id: str
    split: str
    boilerplate: bool


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
        passage = Passage(row["chunk_id"], row["doc_id"], text, row["group_id"], row["split"], row["boilerplate"])
        found.setdefault(passage.chunk_id, passage)
    return [found[chunk_id] for chunk_id in sorted(found)]
