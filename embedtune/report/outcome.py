"""The half of the report that says what came out: verdict, metrics, slices, examples."""

from collections import Counter
from typing import Any

import numpy as np

from embedtune.report.charts import Bar, Bins, Row, bars, forest, histogram
from embedtune.report.figures import (
    HEADLINES,
    METRIC,
    SYSTEMS,
    MetricRow,
    metric_title,
    signed,
    to_table,
    verdict_sentences,
)
from embedtune.report.work import Work

GAIN_EDGES = np.round(np.arange(-1.0, 1.0001, 0.1), 1)
MEANINGS = {
    "WIN": "The tuned model finds more on the deciding set, beyond what chance explains.",
    "MARGINAL": "No proof of a gain and no proof of a loss on the deciding set.",
    "REGRESSION": "The tuned model is worse on at least one set.",
}
DIMENSION_TITLES = {
    "hops": "Passages needed (hops)",
    "query_type": "Query type",
    "style": "Style",
    "complexity": "Complexity",
    "length": "Length of the question",
    "lexical_ease": "Lexical ease",
    "base_rank": "Rank in the base model when generated",
    "answered_in": "Split of the documents that answer",
}


def banner(work: Work) -> dict[str, Any] | None:
    """Return the verdict and the sentences that say it; None before evaluate."""
    metrics, verdict = work.data("evaluation", "metrics.json"), work.data("evaluation", "verdict.json")
    if metrics is None or verdict is None:
        return None
    first, *further = verdict_sentences(metrics, verdict)
    promotion = verdict["promotion"]
    champion = None
    if promotion["against"] == "champion":
        delta = promotion["delta"]
        champion = (
            f"Against the champion: {promotion['verdict']}, {metric_title(METRIC)} {signed(delta['mean'], 3)} "
            f"({signed(delta['low'], 3)} … {signed(delta['high'], 3)})."
        )
    return {
        **verdict,
        "meaning": MEANINGS[verdict["verdict"]],
        "sentence": first,
        "further": further,
        "champion": champion,
    }


def results(work: Work) -> dict[str, Any] | None:
    """Return the metric tables of every set and the two charts above them."""
    metrics, verdict = work.data("evaluation", "metrics.json"), work.data("evaluation", "verdict.json")
    if metrics is None or verdict is None:
        return None
    sliced = work.data("evaluation", "slices.json")
    decided_on = verdict["decided_on"]
    names = sorted(metrics["sets"], key=lambda name: name != decided_on)  # the deciding set first
    rows = to_table(metrics)
    width = f"{verdict['confidence']:.0%}"
    sets = [
        {
            "name": name,
            "queries": metrics["sets"][name]["queries"],
            "decides": name == decided_on,
            "systems": [system for system in SYSTEMS if system in metrics["sets"][name]["systems"]],
            "rows": to_table({"sets": {name: metrics["sets"][name]}}, HEADLINES),
            "all_rows": [row for row in rows if row.set_name == name],
            "lexical_share": sliced["sets"][name]["bm25_rank1_share"] if sliced else None,
        }
        for name in names
    ]
    return {
        "sets": sets,
        "width": width,
        "means": _means_chart(sliced, names, width) if sliced else None,
        "differences": _differences_chart(rows, names, width),
    }


def _means_chart(sliced: dict[str, Any], names: list[str], width: str) -> Any:
    groups = []
    for name in names:
        whole = next(entry for entry in sliced["sets"][name]["slices"] if entry["dimension"] == "all")
        systems = whole["systems"]
        groups.append(
            (
                f"{name} ({whole['queries']:,})",
                [Bar(SYSTEMS[s], s, **systems[s]) for s in SYSTEMS if s in systems],
            )
        )
    return bars(groups, f"Mean {metric_title(METRIC)} of each system on each set with {width} intervals")


def _differences_chart(rows: list[MetricRow], names: list[str], width: str) -> Any:
    shown = [
        Row(
            metric_title(row.metric),
            "",
            row.delta,
            row.low,
            row.high,
            heading=f"{name} ({row.queries:,} questions)" if row.metric == METRIC else "",
        )
        for name in names
        for metric in HEADLINES
        for row in rows
        if row.set_name == name and row.metric == metric
    ]
    return forest(shown, f"Difference tuned minus base with {width} intervals")


def gains(work: Work) -> dict[str, Any] | None:
    """Return how many questions gained and lost on the deciding set, and by how much."""
    verdict = work.data("evaluation", "verdict.json")
    rows = work.rows("evaluation", "per_query.parquet", ("set", "query_id", "system", METRIC))
    if verdict is None or not rows:
        return None
    name = verdict["decided_on"]
    by_system: dict[str, dict[str, float]] = {"base": {}, "tuned": {}}
    for row in rows:
        if row["set"] == name and row["system"] in by_system:
            by_system[row["system"]][row["query_id"]] = row[METRIC]
    changes = np.array([by_system["tuned"][query] - value for query, value in by_system["base"].items()])
    moved = changes[changes != 0]
    series = []
    for kind, part in (("down", moved[moved < 0]), ("up", moved[moved > 0])):
        counts, _ = np.histogram(part, GAIN_EDGES)
        series.append(Bins({"down": "lost", "up": "gained"}[kind], kind, GAIN_EDGES.tolist(), counts.tolist()))
    return {
        "name": name,
        "better": int((changes > 0).sum()),
        "worse": int((changes < 0).sum()),
        "same": int((changes == 0).sum()),
        "chart": histogram(series, f"change of {metric_title(METRIC)}", "Questions by gain and loss")
        if len(moved)
        else None,
    }


def slices(work: Work) -> list[dict[str, Any]]:
    """Return one chart a set: the difference by kind of question."""
    sliced = work.data("evaluation", "slices.json")
    if sliced is None:
        return []
    shown = []
    for name, entry in sliced["sets"].items():
        # A dimension with one value says the same as the whole set.
        values = Counter(record["dimension"] for record in entry["slices"])
        records = [record for record in entry["slices"] if values[record["dimension"]] > 1]
        if records:
            headings = _first_of_each(records)
            rows = [
                Row(
                    record["value"],
                    f"n = {record['queries']:,}",
                    **record["delta"],
                    muted=record["small"],
                    heading=DIMENSION_TITLES[record["dimension"]] if number in headings else "",
                )
                for number, record in enumerate(records)
            ]
            chart = forest(rows, f"Difference tuned minus base on {name} by kind of question")
            shown.append({"name": name, "chart": chart, "records": records, "small_below": sliced["small_below"]})
    return shown


def _first_of_each(records: list[dict[str, Any]]) -> set[int]:
    dimensions = [record["dimension"] for record in records]
    return {dimensions.index(dimension) for dimension in dimensions}


def examples(work: Work) -> list[dict[str, Any]]:
    """Return the wins and losses of each set, the deciding set first."""
    stored, verdict = work.data("evaluation", "examples.json"), work.data("evaluation", "verdict.json")
    if stored is None or verdict is None:
        return []
    names = sorted(stored, key=lambda name: name != verdict["decided_on"])
    return [{"name": name, **stored[name]} for name in names if stored[name]["wins"] or stored[name]["losses"]]
