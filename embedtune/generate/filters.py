"""The filters: questions must make sense, satisfy the judge, differ from each other, and find their passages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from embedtune.core.config.generate import GenerateSettings
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.records.rejections import Rejection
from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.core.retrieval.exact_search import top_k
from embedtune.core.retrieval.shingles import words
from embedtune.core.retrieval.word_overlap import word_overlaps
from embedtune.generate.questions import Question
from embedtune.generate.requests import ASPECTS

MAX_WORDS = 60
# Names invented for the examples in the prompts; small LLMs copy them.
EXAMPLE_NAMES = frozenset({"ormsgate", "velarin", "4471"})
SPLIT_ORDER = ("test", "dev", "train")  # of two duplicates, the one in the earlier split is kept
# Only what is said of a text: "reject the document" and "this section of the pipe" are about things at work. For
# English, to which small LLMs fall back; in other languages the judge's clarity has to find such questions.
_TEXT = r"(?:passage|excerpt|text|document|section|context|article|paragraph)"
_POINTS_AT_PASSAGE = re.compile(
    rf"\b(?:according to|based on|(?:described|given|mentioned|stated) in) (?:the|this|that) (?:\w+ )?{_TEXT}\b"
    rf"|\b(?:the|this|that) (?:given|provided|above) {_TEXT}\b"
    rf"|\b(?:do|does|did) (?:the|this|that) {_TEXT} (?:describe|explain|mention|say|state|suggest|tell)\b",
    re.IGNORECASE,
)
COPIED_WORDS = 5  # in a row: shorter runs are names and phrases that people type too
COPIED_CHARACTERS = 20  # in such runs: where single characters count as words, five in a row are only a term
COPIED_SHARE = 0.8  # of a question's words in such runs
BLOCK = 1024


def plain_sense(question: Question, passages: Mapping[str, str]) -> Question:
    """Reject texts that cannot be search questions, whatever the judge would say.

    Args:
        question: A question as it was written.
        passages: Embedded strings by chunk id.
    """
    found = words(question.question)
    if not found or not words(question.answer):
        return question.rejected(Rejection.EMPTY)
    if len(found) > MAX_WORDS:
        return question.rejected(Rejection.TOO_LONG)
    if _POINTS_AT_PASSAGE.search(question.question):
        return question.rejected(Rejection.MENTIONS_PASSAGE)
    if sum(map(len, found)) >= COPIED_CHARACTERS and len(found) >= COPIED_WORDS:
        text = question.question.casefold().rstrip(".?! ")
        if any(text in passages[chunk_id].casefold() for chunk_id in question.chunk_ids):
            return question.rejected(Rejection.COPIED)
    facts = [words(fact) for fact in question.hop_facts]
    if not all(fact and fact != ["none"] for fact in facts):
        return question.rejected(Rejection.NOT_MULTI_HOP)
    return question


def not_mostly_copied(question: Question, passages: Mapping[str, str]) -> Question:
    """Reject a question most of which is copied; like `not_from_example`, this filter runs after the judge.

    Args:
        question: A judged question.
        passages: Embedded strings by chunk id.
    """
    found = words(question.question)
    copied = any(_is_copy(found, words(passages[chunk_id])) for chunk_id in question.chunk_ids)
    return question.rejected(Rejection.COPIED) if copied else question


def _is_copy(found: Sequence[str], passage: Sequence[str]) -> bool:
    """Return whether most of a question is in runs of words that the passage has too."""
    runs = {tuple(passage[start : start + COPIED_WORDS]) for start in range(len(passage) - COPIED_WORDS + 1)}
    copied: set[int] = set()
    for start in range(len(found) - COPIED_WORDS + 1):
        if tuple(found[start : start + COPIED_WORDS]) in runs:
            copied.update(range(start, start + COPIED_WORDS))
    characters = sum(len(found[place]) for place in copied)
    return characters >= COPIED_CHARACTERS and len(copied) >= COPIED_SHARE * len(found)


def not_from_example(question: Question, passages: Mapping[str, str]) -> Question:
    """Reject a question with a name from a prompt's example that its own passages do not contain.

    This filter runs after the judge: if it ran earlier, it would change the requests to the judge, and
    recordings would no longer match.

    Args:
        question: A judged question.
        passages: Embedded strings by chunk id.
    """
    names = EXAMPLE_NAMES.intersection(words(question.question))
    own = names and {word for chunk_id in question.chunk_ids for word in words(passages[chunk_id])}
    return question.rejected(Rejection.FROM_EXAMPLE) if names - own else question


def by_scores(question: Question, settings: GenerateSettings) -> Question:
    """Reject a question that the judge scores too low, for the first aspect that is too low, else for the mean."""
    if question.reason:
        return question
    if not question.scores:
        return question.rejected(Rejection.NOT_JUDGED)
    for aspect, score in zip(ASPECTS, question.scores, strict=True):
        if score < settings.min_score:
            return question.rejected(Rejection(f"min_{aspect}"))
    return question.rejected(Rejection.MIN_OVERALL) if question.overall < settings.min_overall else question


def without_same_words(questions: Sequence[Question], corpus: Mapping[str, str], limit: float) -> list[Question]:
    """Reject questions in their passages' own words: matching words answers them, so they test little.

    Args:
        questions: Kept and rejected questions; rejected ones do not change.
        corpus: The embedded string of every passage, by chunk id.
        limit: Largest word overlap that is accepted (see `embedtune.core.retrieval.word_overlap`).
    """
    place = {chunk_id: number for number, chunk_id in enumerate(corpus)}
    relevant = [[place[chunk_id] for chunk_id in question.chunk_ids] for question in questions]
    overlaps = word_overlaps([question.question for question in questions], relevant, list(corpus.values()))
    return [
        question.rejected(Rejection.SAME_WORDS) if overlap > limit else question
        for question, overlap in zip(questions, overlaps, strict=True)
    ]


def without_duplicates(questions: Sequence[Question], vectors: Vectors, limit: float) -> list[Question]:
    """Reject questions that are nearly the same as a better one, across the whole set.

    Greedy: test before dev before train, then what a person accepted, then by overall score, then by id.

    Args:
        questions: Kept and rejected questions; rejected ones have no influence and do not change.
        vectors: Query vector of each question.
        limit: Cosine above which two questions are duplicates.
    """
    order = [row for row, question in enumerate(questions) if not question.reason]
    order.sort(key=lambda row: _priority(questions[row]))
    result = list(questions)
    kept: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        alike_kept = _any_alike(vectors[block], vectors[kept], limit)
        within = vectors[block] @ vectors[block].T > limit
        fresh: list[int] = []
        for place, row in enumerate(block):
            if alike_kept[place] or within[place, fresh].any():
                result[row] = questions[row].rejected(Rejection.DUPLICATE)
            else:
                fresh.append(place)
        kept += [block[place] for place in fresh]
    return result


def _priority(question: Question) -> tuple[int, bool, float, str]:
    return SPLIT_ORDER.index(question.split), not question.accepted, -question.overall, question.question_id


def _any_alike(block: Vectors, kept: Vectors, limit: float) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(block), dtype=bool)
    for start in range(0, len(kept), BLOCK):
        found |= (block @ kept[start : start + BLOCK].T > limit).any(axis=1)
    return found


@dataclass(frozen=True)
class Corpus:
    """All passages: ids, embedded strings and base-model vectors."""

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: Vectors


def with_ranks(questions: Sequence[Question], vectors: Vectors, corpus: Corpus, limit: int) -> list[Question]:
    """Store the ranks at which the base model and BM25 find the lowest-ranked passage of each question.

    Args:
        questions: Kept and rejected questions; rejected ones are not searched for.
        vectors: Query vector of each question.
        corpus: The passages to search.
        limit: Depth of the search; a passage that is not found has rank `limit + 1`.
    """
    rows = [row for row, question in enumerate(questions) if not question.reason]
    if not rows:
        return list(questions)
    texts = [questions[row].question for row in rows]
    _, dense = top_k(vectors[rows], corpus.vectors, limit)
    lexical, scores = BM25Index(corpus.texts).search(texts, limit)
    lexical = np.where(scores > 0, lexical, -1)
    place = {chunk_id: number for number, chunk_id in enumerate(corpus.ids)}
    result = list(questions)
    for row, by_base, by_words in zip(rows, dense, lexical, strict=True):
        own = [place[chunk_id] for chunk_id in questions[row].chunk_ids]
        ranks = [_worst_rank(found, own, limit) for found in (by_base, by_words)]
        result[row] = replace(questions[row], base_rank=ranks[0], bm25_rank=ranks[1])
    return result


def _worst_rank(found: npt.NDArray[np.int64], own: Sequence[int], limit: int) -> int:
    ranks = {int(number): rank for rank, number in enumerate(found, 1) if number >= 0}
    return max(ranks.get(number, limit + 1) for number in own)


def round_trip(question: Question, limit: int) -> Question:
    """Reject a train question whose passages neither system finds; test and dev keep their hard questions."""
    if question.split != "train" or question.reason:
        return question
    lost = min(question.base_rank, question.bm25_rank) > limit
    return question.rejected(Rejection.ROUND_TRIP) if lost else question
