"""Hybrid search: a model and BM25 together, as many search engines offer it; what tuning is worth there."""

from embedtune.core.records.metrics import HybridMetrics
from embedtune.core.retrieval.hybrid import fused
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.evaluate.intervals import DECIMALS, Sampling, paired_intervals
from embedtune.evaluate.result import SetResult, differences
from embedtune.evaluate.retrieve import Run


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
    runs = {system: fused_run(result.runs[system], result.runs["bm25"]) for system in ("base", "tuned")}
    return SetResult(result.name, result.data, runs, result.k)


def fused_run(model: Run, words: Run) -> Run:
    """Return a model's run joined with BM25's; a query that only one of them has keeps that one's order."""
    return {query: fused(model.get(query, {}), words.get(query, {})) for query in dict.fromkeys([*model, *words])}
