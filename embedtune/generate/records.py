"""Questions as records: what is known of each, and the table they are written to."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.generate.asks import ASPECTS, Scores, Written
from embedtune.generate.calls import Sheet, Slot

UNRANKED = 0


@dataclass(frozen=True)
class Question:
    """A written question; `reason` says why it was rejected, "" if it was not."""

    question_id: str
    question: str
    answer: str
    chunk_ids: tuple[str, ...]
    hop_facts: tuple[str, ...]
    slot: Slot
    split: str
    generator: str
    judge: str
    scores: tuple[int, ...] = ()
    base_rank: int = UNRANKED
    bm25_rank: int = UNRANKED
    reason: str = ""

    @property
    def overall(self) -> float:
        """Mean of the four scores; 0 before they are given."""
        return sum(self.scores) / len(self.scores) if self.scores else 0.0

    def judged(self, scores: Scores) -> "Question":
        """Return it with its scores."""
        return replace(self, scores=tuple(getattr(scores, aspect) for aspect in ASPECTS))

    def rejected(self, reason: str) -> "Question":
        """Return it with the reason for its rejection; an earlier reason stays."""
        return self if self.reason else replace(self, reason=reason)


def question_of(sheet: Sheet, place: int, written: Written, models: tuple[str, str]) -> Question:
    """Return the question that was written into a slot of a sheet.

    Args:
        sheet: Its passages and slots.
        place: Which slot.
        written: What the model wrote.
        models: Names of generator and judge.
    """
    question, answer = (" ".join(part.split()) for part in (written.question, written.answer))
    digest = hashlib.sha256("\0".join([question, sheet.key]).encode("utf-8", "replace")).hexdigest()
    return Question(
        question_id=digest[:16],
        question=question,
        answer=answer,
        chunk_ids=tuple(passage.chunk_id for passage in sheet.passages),
        hop_facts=written.facts,
        slot=sheet.slots[place],
        split=sheet.passages[0].split,
        generator=models[0],
        judge=models[1],
    )


FIELDS = [
    ("question_id", pa.string()),
    ("question", pa.string()),
    ("answer", pa.string()),
    ("chunk_ids", pa.list_(pa.string())),
    ("hops", pa.int32()),
    ("hop_facts", pa.list_(pa.string())),
    ("query_type", pa.string()),
    ("reasoning_type", pa.string()),
    ("complexity", pa.int32()),
    ("style", pa.string()),
    *((aspect, pa.int32()) for aspect in ASPECTS),
    ("overall", pa.float64()),
    ("generator", pa.string()),
    ("judge", pa.string()),
    ("split", pa.string()),
    ("base_rank", pa.int32()),
    ("bm25_rank", pa.int32()),
]
SCHEMA = pa.schema(FIELDS)
REJECTED_SCHEMA = pa.schema([*FIELDS, ("reason", pa.string())])


def write_tables(folder: Path, questions: Sequence[Question]) -> None:
    """Write questions.parquet and rejected.parquet, each ordered by split and id."""
    rows = [_row(question) for question in sorted(questions, key=lambda q: (q.split, q.question_id))]
    kept = [{key: row[key] for key in SCHEMA.names} for row in rows if not row["reason"]]
    pq.write_table(pa.Table.from_pylist(kept, schema=SCHEMA), folder / "questions.parquet")
    rejected = [row for row in rows if row["reason"]]
    pq.write_table(pa.Table.from_pylist(rejected, schema=REJECTED_SCHEMA), folder / "rejected.parquet")


def _row(question: Question) -> dict[str, Any]:
    scores = dict(zip(ASPECTS, question.scores, strict=True)) if question.scores else dict.fromkeys(ASPECTS, 0)
    return {
        **asdict(question.slot),
        "question_id": question.question_id,
        "question": question.question,
        "answer": question.answer,
        "chunk_ids": list(question.chunk_ids),
        "hops": len(question.chunk_ids),
        "hop_facts": list(question.hop_facts),
        **scores,
        "overall": question.overall,
        "generator": question.generator,
        "judge": question.judge,
        "split": question.split,
        "base_rank": question.base_rank,
        "bm25_rank": question.bm25_rank,
        "reason": question.reason,
    }
