"""Chooses hard negatives, the highest-scoring passages that do not answer the query: pure functions on arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices, top_k
from embedtune.mine.candidate_filter import CandidateFilter, Decision, Decisions, thresholds
from embedtune.mine.mining_arrays import MiningProblem

# Deep enough to pass the positives and the likely false negatives of most queries; only the others are searched
# a second time.
FIRST_DEPTH = 16
CANDIDATES = 1 << 22  # in memory at once; each takes about 64 bytes while it is sorted and decided on


@dataclass(frozen=True)
class SearchOptions:
    """Options of the search; none of them changes the result.

    Attributes:
        block: Passages scanned at a time.
        device: "cuda" or "cpu".
        first_depth: Candidates examined before any query is searched deeper; at least twice the negatives.
    """

    block: int = 50_000
    device: str = "cpu"
    first_depth: int = FIRST_DEPTH


@dataclass(frozen=True)
class Mined:
    """The negatives chosen for each query.

    Attributes:
        counts: Negatives found, shape (n,).
        indices: Passages, hardest first, shape (n, wanted); -1 beyond the count.
        scores: Their scores, shape (n, wanted); NaN beyond the count.
        ranks: Their ranks among all passages, from 1; -1 beyond the count.
        limits: Threshold of each query: no negative scores above it.
        pair_scores: Score of each (query, positive) pair.
        pair_ranks: Rank of each pair's positive; -1 if it lies deeper than its query was searched.
        rejected: Number of candidates rejected for each reason, counted down to the last negative of their query
            (all of them if the query has too few negatives).
    """

    counts: Indices
    indices: Indices
    scores: Vectors
    ranks: Indices
    limits: Vectors
    pair_scores: Vectors
    pair_ranks: Indices
    rejected: dict[Decision, int]


def mine_negatives(
    problem: MiningProblem,
    *,
    negatives: int,
    margin: float,
    options: SearchOptions,
    advance: Callable[[int], None] | None = None,
) -> Mined:
    """Choose up to `negatives` passages for each query, hardest first.

    `CandidateFilter` has the rule. Queries that lack negatives are searched twice as deep, until they have enough
    or every passage was seen; rejected candidates never fill a gap.

    Args:
        problem: Vectors, groups and positives.
        negatives: Wanted for each query.
        margin: Share of |p| by which a negative must score below p, the lowest positive score.
        options: How to search.
        advance: Called with the number of queries that were finished.
    """
    positive_scores = problem.pair_scores()
    starts = np.searchsorted(problem.pair_query, np.arange(len(problem.queries)))
    limits = thresholds(np.minimum.reduceat(positive_scores, starts), margin)
    candidates = CandidateFilter(problem, limits)
    mined = _empty(limits, positive_scores, negatives)
    pending = np.arange(len(problem.queries))
    depth = min(max(options.first_depth, 2 * negatives), len(problem.passages))
    while len(pending):
        unfinished = []
        for rows in _slices(pending, depth):
            scores, indices = top_k(
                problem.queries[rows], problem.passages, depth, block=options.block, device=options.device
            )
            decisions = candidates.decide(rows, scores, indices)
            enough = (decisions == Decision.ACCEPTED).sum(axis=1) >= negatives
            done = enough | (depth == len(problem.passages))
            _record(mined, candidates, rows[done], scores[done], indices[done], decisions[done])
            unfinished.append(rows[~done])
            if advance is not None:
                advance(int(done.sum()))
        pending = np.concatenate(unfinished)
        depth = min(2 * depth, len(problem.passages))
    return mined


def _empty(limits: Vectors, positive_scores: Vectors, negatives: int) -> Mined:
    shape = (len(limits), negatives)
    return Mined(
        counts=np.zeros(shape[0], np.int64),
        indices=np.full(shape, -1, np.int64),
        scores=np.full(shape, np.nan, np.float32),
        ranks=np.full(shape, -1, np.int64),
        limits=limits,
        pair_scores=positive_scores,
        pair_ranks=np.full(len(positive_scores), -1, np.int64),
        rejected=dict.fromkeys(list(Decision)[1:], 0),
    )


def _slices(rows: Indices, depth: int) -> Iterator[Indices]:
    """Cut the queries so that no slice holds more than `CANDIDATES` candidates."""
    step = max(1, CANDIDATES // depth)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _record(
    mined: Mined,
    candidates: CandidateFilter,
    rows: Indices,
    scores: Vectors,
    indices: Indices,
    decisions: Decisions,
) -> None:
    """Write the negatives of finished queries into `mined`."""
    negatives = mined.indices.shape[1]
    accepted = decisions == Decision.ACCEPTED
    nth = accepted.cumsum(axis=1)
    row, column = np.nonzero(accepted & (nth <= negatives))
    cell = (rows[row], nth[row, column] - 1)
    mined.indices[cell] = indices[row, column]
    mined.scores[cell] = scores[row, column]
    mined.ranks[cell] = column + 1
    mined.counts[rows] = np.minimum(nth[:, -1], negatives)

    counts = np.bincount(decisions[nth < negatives], minlength=len(Decision))
    for decision in mined.rejected:
        mined.rejected[decision] += int(counts[decision])

    row, column = np.nonzero(decisions == Decision.POSITIVE)
    mined.pair_ranks[candidates.pairs(rows[row], indices[row, column])] = column + 1
