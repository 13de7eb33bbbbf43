"""Hybrid search: a model and BM25 together, as many search engines offer it; what tuning is worth there."""

from collections import defaultdict

from embedtune.core.records.metrics import HybridMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC, ranking_of
from embedtune.evaluate.intervals import DECIMALS, Sampling, paired_intervals
from embedtune.evaluate.result import SetResult, differences
from embedtune.evaluate.retrieve import Run

RANK_CONSTANT = (
    60  # of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009), and of the engines that have it
)


def hybrid_metrics(result: SetResult, sampling: Sampling) -> HybridMetrics:
    """Return what base and tuned model reach together with BM25.

    Args:
        result: The set.
        sampling: How intervals are computed.
    """
    both = hybrid(result)
    gain = paired_intervals(both.rows("tuned"), result.rows("tuned"), result.units, sampling)
    return HybridMetrics(
        systems={
            system: {name: round(value, DECIMALS) for name, value in both.means(system).items()}
            for system in both.runs
        },
        delta=differences([both], "base", sampling)[result.name],
        change=gain[DECIDING_METRIC],
    )


def hybrid(result: SetResult) -> SetResult:
    """Return the outcome of base and tuned model, each fused with BM25."""
    runs = {system: fused(result.runs[system], result.runs["bm25"]) for system in ("base", "tuned")}
    return SetResult(result.name, result.data, runs, result.k)


def fused(left: Run, right: Run) -> Run:
    """Return the reciprocal rank fusion of two runs: a passage scores the sum of 1 / (60 + rank) over both.

    Args:
        left: A run.
        right: Another one; a query that only one of them has keeps that one's order.
    """
    return {
        query: _fused_query(left.get(query, {}), right.get(query, {})) for query in dict.fromkeys([*left, *right])
    }


def _fused_query(*runs: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for scores in runs:
        for rank, passage in enumerate(ranking_of(scores), 1):
            found[passage] += 1 / (RANK_CONSTANT + rank)
    return dict(found)
