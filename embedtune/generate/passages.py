"""The passages that questions are written about: the distinct chunks from ingest, in a stable order."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet as pq

from embedtune.core.config.asked_shares import PassageKind
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import GateError
from embedtune.generate.passage_kind import passage_kind, says_generated

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
    position: int
    border: bool


@dataclass(frozen=True)
class Passage:
    """A chunk. No questions are asked about boilerplate, nor about chunks at a border between splits.

    Attributes:
        text: The embedded string, heading path included.
        before: The end of the text before it in its document, as much as the LLM is to see.
        after: The beginning of the text after it.
        kind: What kind of text it is.
    """

    chunk_id: str
    doc_id: str
    text: str
    group_id: str
    split: str
    boilerplate: bool
    border: bool = False
    before: str = ""
    after: str = ""
    kind: PassageKind = "prose"

    @property
    def usable(self) -> bool:
        """Whether questions may be asked about it."""
        return not (self.boilerplate or self.border)

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
    paths = _paths(chunks)
    texts = {(row["doc_id"], row["position"]): row["text"] for row in rows} if context_words else {}
    generated = {row["doc_id"] for row in rows if row["position"] == 0 and says_generated(row["text"])}
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
            border=row["border"],
            before=" ".join(texts.get((doc, place - 1), "").split()[-context_words:]) if context_words else "",
            after=" ".join(texts.get((doc, place + 1), "").split()[:context_words]) if context_words else "",
            kind=passage_kind(paths.get(doc, ""), row["heading_path"], row["text"], generated=doc in generated),
        )
        found.setdefault(passage.chunk_id, passage)
    return [found[chunk_id] for chunk_id in sorted(found)]


def _paths(chunks: Path) -> dict[str, str]:
    """Return the path of each document."""
    table = pq.read_table(chunks / "documents.parquet", columns=["doc_id", "path"])
    return dict(zip(table["doc_id"].to_pylist(), table["path"].to_pylist(), strict=True))


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
