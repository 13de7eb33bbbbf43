"""The rows of the questions artifact: generate writes them, split reads them, the report counts some columns."""

from typing import TypedDict

LICENCE = "generator_licence"  # a figure of the manifest: the licence of the LLM whose replies were replayed


class QuestionRow(TypedDict):
    """One row of questions.parquet.

    Attributes:
        chunk_ids: The passages that the question was written about.
        answer_ids: The passages that answer it: these, and those about which the same question was written.
        unsure_ids: Passages about which a similar question was written: they may answer it, so they are never
            mined as negatives.
    """

    question_id: str
    question: str
    answer: str
    chunk_ids: list[str]
    answer_ids: list[str]
    unsure_ids: list[str]
    hops: int
    hop_facts: list[str]
    query_type: str
    reasoning_type: str
    complexity: int
    style: str
    relevance: int
    accuracy: int
    clarity: int
    context_support: int
    overall: float
    generator: str
    judge: str
    split: str
    base_rank: int
    bm25_rank: int


class RejectedRow(QuestionRow):
    """One row of rejected.parquet: a question with the reason for its rejection."""

    reason: str
