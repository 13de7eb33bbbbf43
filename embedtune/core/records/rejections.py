"""Why a question is rejected: the codes in rejected.parquet, and the words for them in the report."""

from enum import StrEnum


class Rejection(StrEnum):
    """Codes in the column `reason` of rejected.parquet."""

    NOTHING_TO_ASK = "nothing_to_ask"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    MENTIONS_PASSAGE = "mentions_passage"
    COPIED = "copied"
    NOT_MULTI_HOP = "not_multi_hop"
    NOT_JUDGED = "not_judged"
    MIN_RELEVANCE = "min_relevance"
    MIN_ACCURACY = "min_accuracy"
    MIN_CLARITY = "min_clarity"
    MIN_CONTEXT_SUPPORT = "min_context_support"
    MIN_OVERALL = "min_overall"
    FROM_EXAMPLE = "from_example"
    SAME_WORDS = "same_words"
    DUPLICATE = "duplicate"
    LEAK = "leak"
    ROUND_TRIP = "round_trip"
    PLACEHOLDER = "placeholder"
    REVIEWED = "reviewed"
    FAILED = "failed"


REJECTION_TEXTS = {
    Rejection.NOTHING_TO_ASK: "nothing (more) worth asking in the passage",
    Rejection.EMPTY: "question or answer is empty",
    Rejection.TOO_LONG: "too long",
    Rejection.MENTIONS_PASSAGE: "refers to the passage",
    Rejection.COPIED: "copied from the passage",
    Rejection.NOT_MULTI_HOP: "needs only one passage",
    Rejection.NOT_JUDGED: "not judged",
    Rejection.MIN_RELEVANCE: "relevance too low",
    Rejection.MIN_ACCURACY: "accuracy too low",
    Rejection.MIN_CLARITY: "clarity too low",
    Rejection.MIN_CONTEXT_SUPPORT: "context support too low",
    Rejection.MIN_OVERALL: "mean score too low",
    Rejection.FROM_EXAMPLE: "uses a name from the prompt's example",
    Rejection.SAME_WORDS: "uses the passage's own words",
    Rejection.DUPLICATE: "duplicate of another question",
    Rejection.LEAK: "repeats a question of another split",
    Rejection.ROUND_TRIP: "neither search finds its passage",
    Rejection.PLACEHOLDER: "names masked personal data that is not in its passage",
    Rejection.REVIEWED: "rejected by a person",
    Rejection.FAILED: "LLM call failed",
}


def failed_call(kind: str) -> str:
    """Return the reason for a question whose LLM call failed: the code, then the kind of failure."""
    return f"{Rejection.FAILED}: {kind}"


def rejection_code(reason: str) -> Rejection:
    """Return the code of a reason, without the kind of failure."""
    return Rejection(reason.partition(":")[0])


def rejection_text(reason: str) -> str:
    """Return a reason in words."""
    detail = reason.partition(":")[2]
    return REJECTION_TEXTS[rejection_code(reason)] + (f":{detail}" if detail else "")
