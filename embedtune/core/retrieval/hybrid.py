"""Hybrid search: joins what a model and BM25 found for a query, as search engines do.

    score(q, d) = (1 - w) · m(q, d) + w · b(q, d), with w = 0.3

where m and b are the scores of the model and of BM25, each scaled over what it found for q: the best passage
has 1 and the last one 0; a passage that one of them did not find has 0 there. OpenSearch calls this min_max
normalization, Elasticsearch minmax, Weaviate relativeScoreFusion. The weight was chosen on questions of people:
docs/experiments.md, "Joined with BM25".
"""

from collections.abc import Mapping
from typing import TypeVar

Passage = TypeVar("Passage")  # its id, or its number

WEIGHT = 0.3  # of BM25
RULE = (
    f"The scores of model and BM25 are each scaled from 0 to 1 and added, {1 - WEIGHT:.1f} of the model's and "
    f"{WEIGHT:.1f} of BM25's."
)


def fused(model: Mapping[Passage, float], words: Mapping[Passage, float]) -> dict[Passage, float]:
    """Return the joined scores of all passages that one of both found for a query.

    Args:
        model: The model's score by passage.
        words: BM25's.
    """
    ours, theirs = _scaled(model), _scaled(words)
    return {
        passage: (1 - WEIGHT) * ours.get(passage, 0.0) + WEIGHT * theirs.get(passage, 0.0)
        for passage in dict.fromkeys([*ours, *theirs])
    }


def _scaled(scores: Mapping[Passage, float]) -> dict[Passage, float]:
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if low == high:
        return dict.fromkeys(scores, 1.0)
    return {passage: (score - low) / (high - low) for passage, score in scores.items()}
