"""Metrics as rows, and the verdict as sentences for readers without a technical background."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import Interval, Measured, VerdictRecord
from embedtune.core.records.metrics import OLD_INDEX, Metrics, SetMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title

HEADLINES = (DECIDING_METRIC, "mrr@10", "recall@1", "recall@10", "recall@100")
SYSTEMS = {  # in the order shown
    "bm25": "BM25",
    "base": "base",
    "champion": "champion",
    "tuned": "tuned",
    OLD_INDEX: "tuned, base's index",
    "endpoint": "endpoint",
}


@dataclass(frozen=True)
class MetricRow:
    """One metric on one set: the mean of each system, in the order shown, and the difference tuned - base."""

    metric: str
    systems: dict[str, float]
    delta: Interval


def systems_of(entry: SetMetrics) -> list[str]:
    """Return the systems that were measured on a set, in the order shown."""
    return [system for system in SYSTEMS if system in entry.systems]


def metric_rows(entry: SetMetrics, wanted: Sequence[str] | None = None) -> list[MetricRow]:
    """Return the metrics of one set as rows.

    Args:
        entry: The metrics.
        wanted: Metrics in the order shown; those that were not measured are left out. None: all.
    """
    names = entry.delta if wanted is None else [name for name in wanted if name in entry.delta]
    return [
        MetricRow(name, {system: entry.systems[system][name] for system in systems_of(entry)}, entry.delta[name])
        for name in names
    ]


def measured_sentence(measured: Measured) -> str:
    """Say in which precision and with which vectors the models were compared."""
    return (
        f"All models were measured in {measured.precision} (attention: {measured.attention}) with vectors of "
        f"{measured.dimension:,} numbers."
    )


def verdict_sentences(metrics: Metrics, verdict: VerdictRecord) -> list[str]:
    """Say what happened on the deciding set and on every other set that became worse, and what to be wary of."""
    decided_on = verdict.decided_on
    fallen = [
        name
        for name, entry in metrics.sets.items()
        if name != decided_on and entry.delta[DECIDING_METRIC].direction == "down"
    ]
    width = f"{verdict.confidence:.0%}"
    sentences = [_sentence(name, metrics.sets[name], width) for name in (decided_on, *fallen)]
    return [*sentences, verdict.caution] if verdict.caution else sentences


def _sentence(set_name: str, entry: SetMetrics, width: str) -> str:
    (row,) = metric_rows(entry, [DECIDING_METRIC])
    delta, decimals = row.delta, _decimals(row)
    low, high = signed(delta.low, decimals), signed(delta.high, decimals)
    questions = "question" if entry.queries == 1 else "questions"
    start = f"On {entry.queries:,} {set_name} {questions} {metric_title(row.metric)} {score_words(entry)}"
    families = f"{delta.units:,} {'family' if delta.units == 1 else 'families'} of documents"
    if delta.unbounded:
        they = "It is" if entry.queries == 1 else "They are"
        return f"{start} ({signed(delta.mean, decimals)}). {they} about {families}, too few for an interval."
    doubt = " The interval contains 0, so this may be chance." if delta.direction == "unsure" else ""
    return f"{start} ({signed(delta.mean, decimals)}, {width} interval {low} … {high}, {families}).{doubt}"


def score_words(entry: SetMetrics) -> str:
    """Say how the deciding metric changed: rose from 0.49 to 0.52."""
    (row,) = metric_rows(entry, [DECIDING_METRIC])
    base, tuned = (f"{row.systems[system]:.{_decimals(row)}f}" for system in ("base", "tuned"))
    if base == tuned:
        return f"stayed at {base}"
    return f"{'rose' if row.delta.mean > 0 else 'fell'} from {base} to {tuned}"


def _decimals(row: MetricRow) -> int:
    return next((number for number in (2, 3) if _adds_up(row, number)), 4)


def _adds_up(row: MetricRow, decimals: int) -> bool:
    """Return whether the rounded means differ by the rounded difference, so that no reader is confused."""
    shown = round(row.systems["tuned"], decimals) - round(row.systems["base"], decimals)
    mean = row.delta.mean
    return abs(shown - round(mean, decimals)) < 1e-9 and (mean == 0 or abs(shown) > 1e-9)
