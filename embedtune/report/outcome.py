"""The part of the report on the evaluation for specialists: metrics, slices, examples."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import SetExamples, Slice, Slices
from embedtune.core.records.metrics import HybridMetrics, SizeMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.charts import Bins, histogram
from embedtune.report.evaluation import Evaluation
from embedtune.report.forms import FormRow, form_rows
from embedtune.report.metric_rows import HEADLINES, SYSTEMS, MetricRow, metric_rows, systems_of
from embedtune.report.plots import Bar, Row, bars, forest

GAIN_EDGES = np.round(np.arange(-1.0, 1.0001, 0.1), 1)
DIMENSION_TITLES = {
    "hops": "Passages needed (hops)",
    "query_type": "Query type",
    "style": "Style",
    "complexity": "Complexity",
    "length": "Length of the question",
    "lexical_ease": "BM25 result",
    "base_rank": "Rank in the base model when the question was generated",
    "answered_in": "Split of the documents that answer",
}


@dataclass(frozen=True)
class SetResults:
    """The metric tables of one set: the headlines, and all metrics."""

    name: str
    queries: int
    units: int
    decides: bool
    systems: list[str]
    rows: list[MetricRow]
    all_rows: list[MetricRow]
    lexical_share: float
    smaller: tuple[SizeMetrics, ...]
    forms: list[FormRow]
    hybrid: HybridMetrics | None
    word_overlap: float


@dataclass(frozen=True)
class Results:
    """The metric tables of all sets and the charts above them."""

    sets: list[SetResults]
    width: str
    means: Markup
    differences: Markup


@dataclass(frozen=True)
class Gains:
    """The number of questions of the deciding set that gained and lost; the chart is None if none did."""

    name: str
    better: int
    worse: int
    same: int
    chart: Markup | None


@dataclass(frozen=True)
class SlicesOfSet:
    """The slices of one set and their chart."""

    name: str
    chart: Markup
    slices: list[Slice]
    small_below: int


@dataclass(frozen=True)
class ExamplesOfSet:
    """The wins and losses of one set, and how many there are of each."""

    name: str
    found: SetExamples


def champion_sentence(evaluation: Evaluation) -> str | None:
    """Return the comparison with the champion in one sentence; None without one."""
    promotion, delta = evaluation.verdict.promotion, evaluation.verdict.promotion.delta
    if promotion.against != "champion":
        return None
    return (
        f"Against the champion: {promotion.verdict}, {metric_title(DECIDING_METRIC)} {signed(delta.mean, 3)} "
        f"({signed(delta.low, 3)} … {signed(delta.high, 3)})."
    )


def results(evaluation: Evaluation) -> Results:
    """Return the metric tables of every set, the deciding set first, and the two charts above them."""
    metrics, sliced = evaluation.metrics.sets, evaluation.slices.sets
    width = f"{evaluation.verdict.confidence:.0%}"
    sets = [
        SetResults(
            name=name,
            queries=metrics[name].queries,
            units=metrics[name].units,
            decides=name == evaluation.verdict.decided_on,
            systems=systems_of(metrics[name]),
            rows=metric_rows(metrics[name], HEADLINES),
            all_rows=metric_rows(metrics[name]),
            lexical_share=sliced[name].bm25_rank1_share,
            smaller=metrics[name].smaller,
            forms=form_rows(metrics[name], evaluation.figures),
            hybrid=metrics[name].hybrid,
            word_overlap=sliced[name].word_overlap,
        )
        for name in evaluation.deciding_first(metrics)
    ]
    means = _means_chart(evaluation.slices, [part.name for part in sets], width)
    return Results(sets, width, means, _differences_chart(sets, width))


def _means_chart(sliced: Slices, names: list[str], width: str) -> Markup:
    groups = []
    for name in names:
        whole = next(one for one in sliced.sets[name].slices if one.dimension == "all")
        shown = [Bar(SYSTEMS[s], s, whole.systems[s]) for s in SYSTEMS if s in whole.systems]
        groups.append((f"{name} ({whole.queries:,})", shown))
    return bars(groups, f"Mean {metric_title(DECIDING_METRIC)} of each system on each set with {width} intervals")


def _differences_chart(sets: list[SetResults], width: str) -> Markup:
    shown = [
        Row(
            metric_title(row.metric),
            "",
            row.delta,
            heading=f"{part.name} ({part.queries:,} questions)" if row.metric == DECIDING_METRIC else "",
        )
        for part in sets
        for row in part.rows
    ]
    return forest(shown, f"Difference tuned minus base with {width} intervals")


def gains(evaluation: Evaluation) -> Gains:
    """Return how many questions gained and lost on the deciding set, and by how much."""
    changes = evaluation.changes
    series = []
    for title, kind, sign in (("lost", "down", -1), ("gained", "up", 1)):
        counts, _ = np.histogram(changes.values[np.sign(changes.values) == sign], GAIN_EDGES)
        series.append(Bins(title, kind, GAIN_EDGES.tolist(), counts.tolist()))
    axis = f"change of {metric_title(DECIDING_METRIC)}"
    changed = changes.better or changes.worse
    return Gains(
        name=evaluation.decided_on,
        better=changes.better,
        worse=changes.worse,
        same=changes.same,
        chart=histogram(series, axis, "Questions by gain and loss") if changed else None,
    )


def slices(evaluation: Evaluation) -> list[SlicesOfSet]:
    """Return one chart per set: the difference by kind of question."""
    shown = []
    for name in evaluation.deciding_first(evaluation.slices.sets):
        entry = evaluation.slices.sets[name]
        # A dimension with one value says the same as the whole set.
        values = Counter(one.dimension for one in entry.slices)
        several = [one for one in entry.slices if values[one.dimension] > 1]
        if several:
            chart = forest(_slice_rows(several), f"Difference tuned minus base on {name} by kind of question")
            shown.append(SlicesOfSet(name, chart, several, evaluation.slices.small_below))
    return shown


def _slice_rows(several: list[Slice]) -> list[Row]:
    dimensions = [one.dimension for one in several]
    first_of_each = {dimensions.index(dimension) for dimension in dimensions}
    return [
        Row(
            one.value,
            f"n = {one.queries:,}",
            one.delta,
            muted=one.small,
            heading=DIMENSION_TITLES.get(one.dimension, one.dimension) if number in first_of_each else "",
        )
        for number, one in enumerate(several)
    ]


def examples(evaluation: Evaluation) -> list[ExamplesOfSet]:
    """Return the wins and losses of each set, the deciding set first."""
    stored = evaluation.examples.sets
    return [
        ExamplesOfSet(name, stored[name])
        for name in evaluation.deciding_first(stored)
        if stored[name].wins or stored[name].losses
    ]
