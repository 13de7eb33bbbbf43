"""The part of the report on the evaluation: verdict, metrics, slices, examples."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import (
    EXAMPLES_FILE,
    METRICS_FILE,
    SLICES_FILE,
    VERDICT_FILE,
    Example,
    Examples,
    Metrics,
    SizeMetrics,
    Slice,
    Slices,
    Verdict,
    VerdictRecord,
)
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.charts import Bar, Bins, Row, bars, forest, histogram
from embedtune.report.metric_rows import (
    HEADLINES,
    SYSTEMS,
    MetricRow,
    measured_sentence,
    metric_rows,
    systems_of,
    verdict_sentences,
)
from embedtune.report.work import Work

GAIN_EDGES = np.round(np.arange(-1.0, 1.0001, 0.1), 1)
MEANINGS = {
    Verdict.WIN: "The tuned model retrieves better on the deciding set, by more than chance would explain.",
    Verdict.MARGINAL: "Neither a gain nor a loss is proven on the deciding set.",
    Verdict.REGRESSION: "The tuned model is worse on at least one set.",
}
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
class Evaluation:
    """The records of an evaluation artifact."""

    metrics: Metrics
    verdict: VerdictRecord
    slices: Slices
    examples: Examples

    def deciding_first(self, names: Iterable[str]) -> list[str]:
        """Order names of sets: the deciding set first, the others as they are."""
        return sorted(names, key=lambda name: name != self.verdict.decided_on)


@dataclass(frozen=True)
class Banner:
    """The verdict and the sentences that explain it.

    Args:
        verdict: The verdict.
        sentence: What happened on the deciding set.
        further: One sentence for each other set that got worse, and why the deciding set says little, if it does.
        meaning: What the verdict means.
        champion: The comparison with the champion, if there is one.
        rule: The rule that the verdict follows.
        measured: Precision and size of the vectors, as a sentence.
    """

    verdict: Verdict
    sentence: str
    further: list[str]
    meaning: str
    champion: str | None
    rule: str
    measured: str


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
    """The wins and losses of one set."""

    name: str
    wins: tuple[Example, ...]
    losses: tuple[Example, ...]


def read_evaluation(work: Work) -> Evaluation | None:
    """Read the records of the evaluation; None before evaluate.

    Raises:
        ArtifactError: A record is missing, damaged, or of another version.
    """
    metrics = work.record("evaluation", METRICS_FILE, Metrics)
    verdict = work.record("evaluation", VERDICT_FILE, VerdictRecord)
    slices = work.record("evaluation", SLICES_FILE, Slices)
    examples = work.record("evaluation", EXAMPLES_FILE, Examples)
    if metrics is None or verdict is None or slices is None or examples is None:
        return None
    return Evaluation(metrics, verdict, slices, examples)


def banner(evaluation: Evaluation) -> Banner:
    """Return the verdict and the sentences that explain it."""
    verdict = evaluation.verdict
    first, *further = verdict_sentences(evaluation.metrics, verdict)
    promotion, delta = verdict.promotion, verdict.promotion.delta
    champion = None
    if promotion.against == "champion":
        champion = (
            f"Against the champion: {promotion.verdict}, {metric_title(DECIDING_METRIC)} {signed(delta.mean, 3)} "
            f"({signed(delta.low, 3)} … {signed(delta.high, 3)})."
        )
    measured = measured_sentence(verdict.measured)
    return Banner(verdict.verdict, first, further, MEANINGS[verdict.verdict], champion, verdict.rule, measured)


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


def gains(work: Work, evaluation: Evaluation) -> Gains | None:
    """Return how many questions gained and lost on the deciding set, and by how much."""
    rows = work.rows("evaluation", "per_query.parquet", ("set", "query_id", "system", DECIDING_METRIC))
    if not rows:
        return None
    name = evaluation.verdict.decided_on
    by_system: dict[str, dict[str, float]] = {"base": {}, "tuned": {}}
    for row in rows:
        if row["set"] == name and row["system"] in by_system:
            by_system[row["system"]][row["query_id"]] = row[DECIDING_METRIC]
    changes = np.array([by_system["tuned"][query] - value for query, value in by_system["base"].items()])
    lost, gained = changes[changes < 0], changes[changes > 0]
    series = []
    for title, kind, part in (("lost", "down", lost), ("gained", "up", gained)):
        counts, _ = np.histogram(part, GAIN_EDGES)
        series.append(Bins(title, kind, GAIN_EDGES.tolist(), counts.tolist()))
    axis = f"change of {metric_title(DECIDING_METRIC)}"
    return Gains(
        name=name,
        better=len(gained),
        worse=len(lost),
        same=len(changes) - len(gained) - len(lost),
        chart=histogram(series, axis, "Questions by gain and loss") if len(gained) or len(lost) else None,
    )


def slices(evaluation: Evaluation) -> list[SlicesOfSet]:
    """Return one chart per set: the difference by kind of question."""
    shown = []
    for name, entry in evaluation.slices.sets.items():
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
        ExamplesOfSet(name, stored[name].wins, stored[name].losses)
        for name in evaluation.deciding_first(stored)
        if stored[name].wins or stored[name].losses
    ]
