"""What mining is given, and why a candidate is turned away. Pure arrays."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices, pair_scores

Verdicts = npt.NDArray[np.int8]


class Verdict(IntEnum):
    """What is decided about a candidate: the first that applies, in this order."""

    ACCEPTED = 0
    POSITIVE = 1
    GROUP = 2
    SIBLING = 3
    MARGIN = 4


@dataclass(frozen=True)
class MiningProblem:
    """Queries, the passages that train may see, and which of them answer what.

    Attributes:
        queries: Shape (n, dimension).
        passages: Shape (m, dimension).
        groups: Near-duplicate group of each passage, shape (m,), numbered from 0.
        same_text: A number that a query shares with the queries of the same text only, shape (n,).
        pair_query: Query of each (query, positive) pair; pairs are sorted and unique, every query has one.
        pair_passage: Positive passage of each pair.
    """

    queries: Vectors
    passages: Vectors
    groups: Indices
    same_text: Indices
    pair_query: Indices
    pair_passage: Indices

    def pair_scores(self) -> Vectors:
        """Return the score of each (query, positive) pair."""
        queries = self.queries[self.pair_query]
        return pair_scores(queries, self.passages, self.pair_passage[:, None])[:, 0]


def thresholds(lowest: Vectors, margin: float) -> Vectors:
    """Return p - margin·|p|: TopK-PercPos of NV-Retriever (arXiv 2407.15831), which lies below p for p <= 0 too.

    Args:
        lowest: p, the lowest positive score of each query.
        margin: Share of |p| that a negative must stay below p.
    """
    return (lowest - np.float32(margin) * np.abs(lowest)).astype(np.float32)


class Judge:
    """Decides about candidates, many at a time.

    Args:
        problem: Groups, texts and positives.
        limits: Threshold of each query; a candidate above it is rejected.
    """

    def __init__(self, problem: MiningProblem, limits: Vectors) -> None:
        self._problem = problem
        self._limits = limits
        self._groups = int(problem.groups.max()) + 1
        query, passage = problem.pair_query, problem.pair_passage
        group = problem.groups[passage]
        self._pair_keys = self._passage_key(query, passage)
        self._group_keys = np.unique(self._group_key(query, group))
        self._text_keys = np.unique(self._group_key(problem.same_text[query], group))

    def judge(self, rows: Indices, scores: Vectors, indices: Indices) -> Verdicts:
        """Return the verdict about each candidate.

        Args:
            rows: The queries, shape (r,).
            scores: Of the candidates, shape (r, k).
            indices: Their passages, shape (r, k).
        """
        groups = self._problem.groups[indices]
        verdicts = np.where(scores > self._limits[rows, None], Verdict.MARGIN, Verdict.ACCEPTED).astype(np.int8)
        # Only the few candidates that any query of this text excludes can be in the narrower sets.
        labels = self._problem.same_text[rows, None]
        hit_row, hit_column = np.nonzero(_contains(self._text_keys, self._group_key(labels, groups)))
        query, group, passage = rows[hit_row], groups[hit_row, hit_column], indices[hit_row, hit_column]
        in_group = _contains(self._group_keys, self._group_key(query, group))
        is_positive = _contains(self._pair_keys, self._passage_key(query, passage))
        verdicts[hit_row, hit_column] = np.select(
            [is_positive, in_group], [Verdict.POSITIVE, Verdict.GROUP], Verdict.SIBLING
        )
        return verdicts

    def pairs(self, queries: Indices, passages: Indices) -> Indices:
        """Return the positions of (query, positive) pairs among the problem's pairs."""
        return np.searchsorted(self._pair_keys, self._passage_key(queries, passages))

    def _passage_key(self, query: Indices, passage: Indices) -> Indices:
        return query * len(self._problem.passages) + passage

    def _group_key(self, query: Indices, group: Indices) -> Indices:
        return query * self._groups + group


def _contains(sorted_keys: Indices, keys: Indices) -> npt.NDArray[np.bool_]:
    """Tell which keys are among the sorted ones (at least one)."""
    where = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[where] == keys)
