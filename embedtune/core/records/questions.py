"""The rows of the questions artifact: generate writes them; split and the report read them."""

from typing import TypedDict


class QuestionRow(TypedDict):
    """One row of questions.parquet."""

    question_id: str
    question: str
    answer: str
    chunk_ids: list[str]
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
