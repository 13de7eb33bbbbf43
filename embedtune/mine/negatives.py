"""Choose hard negatives: the highest-scoring passages that are surely wrong. Pure arrays in, arrays out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices, top_k
from embedtune.mine.problem import Judge, MiningProblem, Verdict, Verdicts, thresholds

# Past the positives and the likely false negatives of most queries; a second scan is made of the others only.
FIRST_DEPTH = 16
CANDIDATES = 1 << 22  # in memory at once; about 64 bytes each while they are sorted and judged


@dataclass(frozen=True)
class SearchPlan:
    """How to search; none of it changes the result.

    Attributes:
        block: Passages scanned at a time.
        device: "cuda" or "cpu".
        first_depth: Candidates looked at before any query is searched deeper; twice the negatives at least.
    """

    block: int = 50_000
    device: str = "cpu"
    first_depth: int = FIRST_DEPTH


@dataclass(frozen=True)
class Mined:
    """What was chosen for each query.

    Attributes:
        counts: Negatives found, shape (n,).
        indices: Passages, hardest first, shape (n, wanted); -1 beyond the count.
        scores: Their scores, shape (n, wanted); NaN beyond the count.
        ranks: Their ranks among all passages, from 1; -1 beyond the count.
        limits: Threshold of each query: no negative scores above it.
        pair_scores: Score of each (query, positive) pair.
        pair_ranks: Rank of each pair's positive; -1 if it lies deeper than its query was searched.
        rejected: Candidates turned away, by verdict, above the last negative of their query (all, if it is short).
    """

    counts: Indices
    indices: Indices
    scores: Vectors
    ranks: Indices
    limits: Vectors
    pair_scores: Vectors
    pair_ranks: Indices
    rejected: dict[Verdict, int]


def mine_negatives(
    problem: MiningProblem,
    *,
    negatives: int,
    margin: float,
    plan: SearchPlan,
    advance: Callable[[int], None] | None = None,
) -> Mined:
    """Choose up to `negatives` passages for each query, hardest first.

    Turned away are the positives of the query, whatever stands in their near-duplicate groups, what answers
    another query of the same text, and what scores above `thresholds`. Queries that lack negatives are searched
    twice as deep, until they have enough or every passage was seen; rejected candidates never fill a gap.

    Args:
        problem: Vectors, groups and positives.
        negatives: Wanted for each query.
        margin: Share of |p| that a negative must stay below p, the lowest positive score.
        plan: How to search.
        advance: Called with the number of queries that were finished.
    """
    positive_scores = problem.pair_scores()
    starts = np.searchsorted(problem.pair_query, np.arange(len(problem.queries)))
    limits = thresholds(np.minimum.reduceat(positive_scores, starts), margin)
    judge = Judge(problem, limits)
    mined = _nothing_yet(limits, positive_scores, negatives)
    pending = np.arange(len(problem.queries))
    depth = min(max(plan.first_depth, 2 * negatives), len(problem.passages))
    while len(pending):
        unfinished = []
        for rows in _slices(pending, depth):
            scores, indices = top_k(
                problem.queries[rows], problem.passages, depth, block=plan.block, device=plan.device
            )
            verdicts = judge.judge(rows, scores, indices)
            enough = (verdicts == Verdict.ACCEPTED).sum(axis=1) >= negatives
            done = enough | (depth == len(problem.passages))
            _record(mined, judge, rows[done], scores[done], indices[done], verdicts[done])
            unfinished.append(rows[~done])
            if advance is not None:
                advance(int(done.sum()))
        pending = np.concatenate(unfinished)
        depth = min(2 * depth, len(problem.passages))
    return mined


def _nothing_yet(limits: Vectors, positive_scores: Vectors, negatives: int) -> Mined:
    shape = (len(limits), negatives)
    return Mined(
        counts=np.zeros(shape[0], np.int64),
        indices=np.full(shape, -1, np.int64),
        scores=np.full(shape, np.nan, np.float32),
        ranks=np.full(shape, -1, np.int64),
        limits=limits,
        pair_scores=positive_scores,
        pair_ranks=np.full(len(positive_scores), -1, np.int64),
        rejected=dict.fromkeys(list(Verdict)[1:], 0),
    )


def _slices(rows: Indices, depth: int) -> Iterator[Indices]:
    """Cut the queries so that no slice holds more than `CANDIDATES` candidates."""
    step = max(1, CANDIDATES // depth)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _record(
    mined: Mined, judge: Judge, rows: Indices, scores: Vectors, indices: Indices, verdicts: Verdicts
) -> None:
    """Write the outcome of finished queries into `mined`."""
    negatives = mined.indices.shape[1]
    accepted = verdicts == Verdict.ACCEPTED
    nth = accepted.cumsum(axis=1)
    row, column = np.nonzero(accepted & (nth <= negatives))
    slot = (rows[row], nth[row, column] - 1)
    mined.indices[slot] = indices[row, column]
    mined.scores[slot] = scores[row, column]
    mined.ranks[slot] = column + 1
    mined.counts[rows] = np.minimum(nth[:, -1], negatives)

    counts = np.bincount(verdicts[nth < negatives], minlength=len(Verdict))
    for verdict in mined.rejected:
        mined.rejected[verdict] += int(counts[verdict])

    row, column = np.nonzero(verdicts == Verdict.POSITIVE)
    mined.pair_ranks[judge.pairs(rows[row], indices[row, column])] = column + 1
