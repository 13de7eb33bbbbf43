"""Questions, and the tables they are written to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.records.questions import QuestionRow, RejectedRow
from embedtune.core.records.rejections import Rejection
from embedtune.generate.questions_to_ask import QuestionCall, QuestionSlot
from embedtune.generate.requests import ASPECTS, Judgement, WrittenQuestion

UNRANKED = 0
REPETITIONS = (Rejection.DUPLICATE, Rejection.LEAK)  # rejected even if a person accepted the question


@dataclass(frozen=True)
class Question:
    """A written question; `reason` says why it was rejected and is empty if it was not.

    `accepted`: a person accepted it, which overrules the filters except those that find repetitions.
    `same_as` and `similar_to` are the passages of rejected questions that were the same as this one, or similar.
    """

    question_id: str
    question: str
    answer: str
    chunk_ids: tuple[str, ...]
    hop_facts: tuple[str, ...]
    slot: QuestionSlot
    split: str
    generator: str
    judge: str
    scores: tuple[int, ...] = ()
    base_rank: int = UNRANKED
    bm25_rank: int = UNRANKED
    reason: str = ""
    same_as: tuple[str, ...] = ()
    similar_to: tuple[str, ...] = ()
    accepted: bool = False

    @property
    def overall(self) -> float:
        """Mean of the four scores; 0 before the question is judged."""
        return sum(self.scores) / len(self.scores) if self.scores else 0.0

    def judged(self, judgement: Judgement) -> "Question":
        """Return the question with its scores; one that does not need all of its passages is rejected."""
        scored = replace(self, scores=judgement.scores)
        all_of_them = frozenset(range(1, len(self.chunk_ids) + 1))
        if judgement.needed is None or judgement.needed >= all_of_them:
            return scored
        return scored.rejected(Rejection.NOT_MULTI_HOP)

    def rejected(self, reason: str) -> "Question":
        """Return the question with the reason for its rejection; an earlier reason is kept."""
        if self.reason or (self.accepted and reason not in REPETITIONS):
            return self
        return replace(self, reason=reason)


def question_of(call: QuestionCall, place: int, written: WrittenQuestion, models: tuple[str, str]) -> Question:
    """Return the question that was written for a question slot of a call.

    Args:
        call: Its passages and question slots.
        place: Index of the question slot.
        written: What the LLM wrote.
        models: Names of generator and judge.
    """
    question, answer = (" ".join(part.split()) for part in (written.question, written.answer))
    digest = hashlib.sha256("\0".join([question, call.key]).encode("utf-8", "replace")).hexdigest()
    return Question(
        question_id=digest[:16],
        question=question,
        answer=answer,
        chunk_ids=tuple(passage.chunk_id for passage in call.passages),
        hop_facts=written.facts,
        slot=call.slots[place],
        split=call.passages[0].split,
        generator=models[0],
        judge=models[1],
    )


FIELDS = [
    ("question_id", pa.string()),
    ("question", pa.string()),
    ("answer", pa.string()),
    ("chunk_ids", pa.list_(pa.string())),
    ("answer_ids", pa.list_(pa.string())),
    ("unsure_ids", pa.list_(pa.string())),
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
    ordered = sorted(questions, key=lambda question: (question.split, question.question_id))
    kept = [_row(question) for question in ordered if not question.reason]
    pq.write_table(pa.Table.from_pylist(kept, schema=SCHEMA), folder / "questions.parquet")
    rejected: list[RejectedRow] = [
        {**_row(question), "reason": question.reason} for question in ordered if question.reason
    ]
    pq.write_table(pa.Table.from_pylist(rejected, schema=REJECTED_SCHEMA), folder / "rejected.parquet")


def _row(question: Question) -> QuestionRow:
    relevance, accuracy, clarity, context_support = question.scores or (0, 0, 0, 0)
    return {
        "question_id": question.question_id,
        "question": question.question,
        "answer": question.answer,
        "chunk_ids": list(question.chunk_ids),
        "answer_ids": list(dict.fromkeys((*question.chunk_ids, *question.same_as))),
        "unsure_ids": sorted({*question.similar_to} - {*question.chunk_ids, *question.same_as}),
        "hops": len(question.chunk_ids),
        "hop_facts": list(question.hop_facts),
        "query_type": question.slot.query_type,
        "reasoning_type": question.slot.reasoning_type,
        "complexity": question.slot.complexity,
        "style": question.slot.style,
        "relevance": relevance,
        "accuracy": accuracy,
        "clarity": clarity,
        "context_support": context_support,
        "overall": question.overall,
        "generator": question.generator,
        "judge": question.judge,
        "split": question.split,
        "base_rank": question.base_rank,
        "bm25_rank": question.bm25_rank,
    }
