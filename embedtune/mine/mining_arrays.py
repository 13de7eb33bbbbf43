"""The input of mining as arrays."""

from dataclasses import dataclass, field

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices, pair_scores


@dataclass(frozen=True)
class MiningProblem:
    """Queries, the passages that train may see, and which of them answer which query.

    Attributes:
        queries: Shape (n, dimension).
        passages: Shape (m, dimension).
        groups: Near-duplicate group of each passage, shape (m,), numbered from 0.
        same_text: A number that a query shares only with the queries of the same text, shape (n,).
        pair_query: Query of each (query, positive) pair; pairs are sorted and unique, every query has one.
        pair_passage: Positive passage of each pair.
        unsure_query: Query of each (query, passage) pair in which the passage may answer the query.
        unsure_passage: Passage of each such pair.
    """

    queries: Vectors
    passages: Vectors
    groups: Indices
    same_text: Indices
    pair_query: Indices
    pair_passage: Indices
    unsure_query: Indices = field(default_factory=lambda: np.empty(0, np.int64))
    unsure_passage: Indices = field(default_factory=lambda: np.empty(0, np.int64))

    def pair_scores(self) -> Vectors:
        """Return the score of each (query, positive) pair."""
        queries = self.queries[self.pair_query]
        return pair_scores(queries, self.passages, self.pair_passage[:, None])[:, 0]
