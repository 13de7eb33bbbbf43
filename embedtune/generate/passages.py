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
    position: int


@dataclass(frozen=True)
class Passage:
    """A chunk.

    Attributes:
        text: The embedded string, heading path included.
        before: The end of the text before it in its document, as much as the LLM is to see.
        after: The beginning of the text after it.
    """

    chunk_id: str
    doc_id: str
    text: str
    group_id: str
    split: str
    boilerplate: bool
    before: str = ""
    after: str = ""

    @property
    def shown(self) -> str:
        """What the LLM sees: the embedded string, between the text around it."""
        before = f"(before: … {self.before})\n" if self.before else ""
        after = f"\n(after: {self.after} …)" if self.after else ""
        return f"{before}{self.text}{after}"


def read_passages(chunks: Path, contract: EncoderContract, context_words: int = 0) -> list[Passage]:
    """Read each distinct chunk once, ordered by chunk_id.

    Args:
        chunks: The chunks artifact.
        contract: Renders the passages.
        context_words: Number of words of the text before and after each chunk to keep with it.
    """
    table = pq.read_table(chunks / "chunks.parquet", columns=list(ChunkRow.__annotations__))
    rows: list[ChunkRow] = table.to_pylist()
    texts = {(row["doc_id"], row["position"]): row["text"] for row in rows} if context_words else {}
    found: dict[str, Passage] = {}
    for row in rows:
        doc, place = row["doc_id"], row["position"]
        passage = Passage(
            chunk_id=row["chunk_id"],
            doc_id=doc,
            text=contract.render_passage(row["heading_path"], row["text"]),
            group_id=row["group_id"],
            split=row["split"],
            boilerplate=row["boilerplate"],
            before=" ".join(texts.get((doc, place - 1), "").split()[-context_words:]) if context_words else "",
            after=" ".join(texts.get((doc, place + 1), "").split()[:context_words]) if context_words else "",
        )
        found.setdefault(passage.chunk_id, passage)
    return [found[chunk_id] for chunk_id in sorted(found)]
