"""Questions that were written twice: their passages answer both, and no split may repeat a question of another."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.records.rejections import Rejection
from embedtune.core.retrieval.overlap import repeated
from embedtune.generate.filters import SPLIT_ORDER
from embedtune.generate.questions import Question


def with_shared_answers(
    questions: Sequence[Question], vectors: Vectors, similarity: float, repeats: float
) -> list[Question]:
    """Give the passages of each rejected duplicate to the questions of its split that it repeats.

    If the words are nearly the same, the passages answer the kept question too. If only the vectors are similar,
    the questions may ask about different things (error E12 and error E13), so the passages are only noted.

    Args:
        questions: Kept and rejected questions.
        vectors: Query vector of each question.
        similarity: Cosine above which two questions are duplicates.
        repeats: Jaccard of the word-3-grams at or above which two questions are the same.
    """
    result = list(questions)
    kept = [row for row, question in enumerate(questions) if not question.reason]
    kept_vectors = vectors[kept]  # a copy: 1.7 GB for 200,000 questions at 2,048 dimensions
    for row, question in enumerate(questions):
        if question.reason != Rejection.DUPLICATE or not kept:
            continue
        alike = [kept[place] for place in np.flatnonzero(kept_vectors @ vectors[row] > similarity)]
        alike = [other for other in alike if questions[other].split == question.split]
        same = {j for _, j in repeated([question.question], [questions[o].question for o in alike], repeats)}
        for place, other in enumerate(alike):
            found = result[other]
            if place in same:
                result[other] = replace(found, same_as=(*found.same_as, *question.chunk_ids))
            else:
                result[other] = replace(found, similar_to=(*found.similar_to, *question.chunk_ids))
    return result


def without_leaks(questions: Sequence[Question], repeats: float) -> list[Question]:
    """Reject questions that nearly repeat one of another split: those of train, then those of dev.

    The stage split refuses a dataset with such questions, after everything was paid for.

    Args:
        questions: Kept and rejected questions; rejected ones have no influence and do not change.
        repeats: Jaccard of the word-3-grams at or above which two questions are the same.
    """
    result = list(questions)
    held: list[str] = []
    for split in SPLIT_ORDER:
        rows = [row for row, one in enumerate(questions) if one.split == split and not one.reason]
        texts = [questions[row].question for row in rows]
        leaking = {place for place, _ in repeated(texts, held, repeats)}
        for place in leaking:
            result[rows[place]] = questions[rows[place]].rejected(Rejection.LEAK)
        held += [text for place, text in enumerate(texts) if place not in leaking]
    return result
