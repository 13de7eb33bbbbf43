"""The rule that decides which candidates may become negatives: pure functions on arrays."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices
from embedtune.mine.mining_arrays import MiningProblem

Decisions = npt.NDArray[np.int8]


class Decision(IntEnum):
    """The decision on a candidate; `CandidateFilter` describes the rule."""

    ACCEPTED = 0
    POSITIVE = 1
    GROUP = 2
    SIBLING = 3
    MARGIN = 4


def thresholds(lowest: Vectors, margin: float) -> Vectors:
    """Return p - margin·|p|: TopK-PercPos of NV-Retriever (arXiv 2407.15831), which lies below p for p <= 0 too.

    Args:
        lowest: p, the lowest positive score of each query.
        margin: Share of |p| by which a negative must score below p.
    """
    return (lowest - np.float32(margin) * np.abs(lowest)).astype(np.float32)


class CandidateFilter:
    """Decides on candidates, many at a time.

    With P(q) the positives of query q, T(q) the queries with the text of q, g(c) the near-duplicate group of
    passage c, and G(Q) the groups of the positives of the queries Q, candidate c of query q is

        POSITIVE  if c ∈ P(q)
        GROUP     else if g(c) ∈ G({q})
        SIBLING   else if g(c) ∈ G(T(q)), or a similar question was written about a passage of g(c)
        MARGIN    else if score(q, c) > threshold(q)
        ACCEPTED  else.

    Since {q} ⊆ T(q), every candidate of the first three kinds passes the test of the third: the few that do are
    tested for the narrower sets.

    Args:
        problem: Groups, texts and positives.
        limits: Threshold of each query.
    """

    def __init__(self, problem: MiningProblem, limits: Vectors) -> None:
        self._problem = problem
        self._limits = limits
        self._groups = int(problem.groups.max()) + 1
        query, passage = problem.pair_query, problem.pair_passage
        group = problem.groups[passage]
        self._pair_keys = self._passage_key(query, passage)
        self._group_keys = np.unique(self._group_key(query, group))
        every = np.concatenate([query, problem.unsure_query])
        groups = problem.groups[np.concatenate([passage, problem.unsure_passage])]
        self._text_keys = np.unique(self._group_key(problem.same_text[every], groups))

    def decide(self, rows: Indices, scores: Vectors, indices: Indices) -> Decisions:
        """Return the decision on each candidate.

        Args:
            rows: The queries, shape (r,).
            scores: Scores of the candidates, shape (r, k).
            indices: Their passages, shape (r, k).
        """
        groups = self._problem.groups[indices]
        decisions = np.where(scores > self._limits[rows, None], Decision.MARGIN, Decision.ACCEPTED).astype(np.int8)
        labels = self._problem.same_text[rows, None]
        hit_row, hit_column = np.nonzero(_contains(self._text_keys, self._group_key(labels, groups)))
        query, group, passage = rows[hit_row], groups[hit_row, hit_column], indices[hit_row, hit_column]
        in_group = _contains(self._group_keys, self._group_key(query, group))
        is_positive = _contains(self._pair_keys, self._passage_key(query, passage))
        decisions[hit_row, hit_column] = np.select(
            [is_positive, in_group], [Decision.POSITIVE, Decision.GROUP], Decision.SIBLING
        )
        return decisions

    def pairs(self, queries: Indices, passages: Indices) -> Indices:
        """Return the positions of (query, positive) pairs among the problem's pairs."""
        return np.searchsorted(self._pair_keys, self._passage_key(queries, passages))

    def _passage_key(self, query: Indices, passage: Indices) -> Indices:
        return query * len(self._problem.passages) + passage

    def _group_key(self, query: Indices, group: Indices) -> Indices:
        return query * self._groups + group


def _contains(sorted_keys: Indices, keys: Indices) -> npt.NDArray[np.bool_]:
    """Return which keys are among the sorted ones; there must be at least one sorted key."""
    where = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[where] == keys)
