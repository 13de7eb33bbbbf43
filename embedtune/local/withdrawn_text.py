"""The text of withdrawn documents: their passages and the questions about them, and what else repeats it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from embedtune.core.errors import InputError
from embedtune.core.suggestions import did_you_mean

# So many words in a row that are the same in two texts are taken for a quotation.
QUOTED_WORDS = 8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class WithdrawnText:
    """The documents to forget, and their text.

    Attributes:
        paths: The documents' paths as ingest read them, by id.
        chunk_ids: Ids of their passages.
        texts: Their passages, and the questions and answers about them.
    """

    paths: dict[str, str]
    chunk_ids: frozenset[str]
    texts: tuple[str, ...]

    def repeated_in(self, others: Iterable[str]) -> bool:
        """Return whether any of the other texts quotes the documents or the questions about them."""
        return any(not self._quotations.isdisjoint(_runs(text)) for text in others)

    @cached_property
    def _quotations(self) -> set[tuple[str, ...]]:
        return {run for text in self.texts for run in _runs(text)}


def read_withdrawn(work: Path, names: Sequence[str]) -> WithdrawnText:
    """Find documents in a work directory.

    Args:
        work: The work directory.
        names: Paths of the documents as ingest read them, or their ids.

    Raises:
        InputError: The work directory has no chunks, or no such document.
    """
    chunks = work / "chunks"
    if not (chunks / "documents.parquet").is_file():
        raise InputError(
            f"{work} has no documents that ingest read",
            got=f"no {chunks / 'documents.parquet'}",
            fix="name the work directory with --work, or run `embedtune ingest` before forgetting",
        )
    rows = pq.read_table(chunks / "documents.parquet", columns=["doc_id", "path"]).to_pylist()
    known = {row["doc_id"]: row["path"] for row in rows}
    found = {key: known[key] for name in names for key in known if name in (key, known[key])}
    missing = [name for name in names if name not in found and name not in found.values()]
    if missing:
        raise InputError(
            f"{work} has no such document",
            got=", ".join(missing),
            expected="a path or an id in chunks/documents.parquet",
            fix=did_you_mean(missing[0], known.values()) or None,
        )
    table = pq.read_table(
        chunks / "chunks.parquet", columns=["chunk_id", "doc_id", "text", "boilerplate"]
    ).to_pylist()
    mine = [row for row in table if row["doc_id"] in found]
    own = [row["text"] for row in mine if not row["boilerplate"]]  # boilerplate is in other documents too
    ids = frozenset(row["chunk_id"] for row in mine)
    return WithdrawnText(found, ids, (*own, *_questions(work, ids)))


def _questions(work: Path, chunk_ids: frozenset[str]) -> list[str]:
    columns = ["chunk_ids", "question", "answer"]
    rows = [
        row
        for name in ("questions", "rejected")
        if (file := work / "questions" / f"{name}.parquet").is_file()
        for row in pq.read_table(file, columns=columns).to_pylist()
    ]
    about = [row for row in rows if not chunk_ids.isdisjoint(row["chunk_ids"])]
    return [text for row in about for text in (row["question"], row["answer"])]


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return every run of `QUOTED_WORDS` words; a shorter text is one run."""
    words = _WORD.findall(text.lower())
    count = max(1, len(words) - QUOTED_WORDS + 1)
    return {tuple(words[start : start + QUOTED_WORDS]) for start in range(count)} if words else set()
