"""What each smaller vector size costs: the same metrics and differences as for the full size."""

from embedtune.core.records.metrics import SizeMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.evaluate.intervals import DECIMALS, Sampling, paired_intervals
from embedtune.evaluate.result import SetResult, differences


def size_metrics(result: SetResult, sampling: Sampling) -> tuple[SizeMetrics, ...]:
    """Return the metrics of one set with each smaller vector size, the largest first.

    Args:
        result: The set.
        sampling: How intervals are computed.
    """
    return tuple(_size(result, dimension, smaller, sampling) for dimension, smaller in result.smaller.items())


def _size(result: SetResult, dimension: int, smaller: SetResult, sampling: Sampling) -> SizeMetrics:
    against = {
        other: differences([smaller], other, sampling)[result.name]
        for other in ("base", "champion")
        if other in smaller.runs
    }
    cost = paired_intervals(smaller.rows("tuned"), result.rows("tuned"), result.units, sampling)
    return SizeMetrics(
        dimension=dimension,
        systems={
            system: {name: round(value, DECIMALS) for name, value in smaller.means(system).items()}
            for system in smaller.runs
        },
        delta=against["base"],
        delta_champion=against.get("champion"),
        change=cost[DECIDING_METRIC],
    )


def size_notes(results: list[SetResult], sizes: dict[str, tuple[SizeMetrics, ...]]) -> tuple[str, ...]:
    """Say with which smaller sizes the tuned model is worse than the base; the verdict is about the full size."""
    remarks = []
    for result in results:
        fallen = [size for size in sizes[result.name] if size.delta[DECIDING_METRIC].direction == "down"]
        if fallen:
            named = ", ".join(f"{size.dimension} ({size.delta[DECIDING_METRIC].mean:+.4f})" for size in fallen)
            remarks.append(
                f"{result.name}: with vectors of these sizes {metric_title(DECIDING_METRIC)} of the tuned model "
                f"is below the base's, with the interval below 0: {named}; train.matryoshka trains for every size"
            )
    return tuple(remarks)
