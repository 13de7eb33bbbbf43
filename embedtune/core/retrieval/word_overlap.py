"""Word overlap: how much of a question's wording is in the passage that answers it.

It is the weight of the question's distinct words that the passage contains, divided by the weight of all of them.
Words weigh what BM25 gives them (`embedtune.core.retrieval.bm25`): ln(1 + (N - n + 0.5) / (n + 0.5)) for a word in
n of N passages. Of several passages, the one with the greatest overlap counts.
"""

import math
from collections import Counter
from collections.abc import Sequence

from embedtune.core.retrieval.shingles import words


def word_overlaps(
    questions: Sequence[str], relevant: Sequence[Sequence[int]], passages: Sequence[str]
) -> list[float]:
    """Return the word overlap of each question, from 0 to 1; without words or passages it is 0.

    Args:
        questions: The questions.
        relevant: For each question, the positions of the passages that answer it.
        passages: All passages of the corpus.
    """
    asked = [frozenset(words(question)) for question in questions]
    vocabulary = frozenset().union(*asked)
    needed = {place for places in relevant for place in places}
    counts: Counter[str] = Counter()
    found: dict[int, frozenset[str]] = {}
    for place, passage in enumerate(passages):
        shared = vocabulary.intersection(words(passage))
        counts.update(shared)
        if place in needed:
            found[place] = shared
    total = len(passages)
    weight = {word: math.log(1 + (total - counts[word] + 0.5) / (counts[word] + 0.5)) for word in vocabulary}
    overlaps = []
    for own, places in zip(asked, relevant, strict=True):
        shares = [sum(weight[word] for word in own & found[place]) for place in places]
        whole = sum(weight[word] for word in own)
        overlaps.append(min(1.0, max(shares) / whole) if whole and shares else 0.0)
    return overlaps
