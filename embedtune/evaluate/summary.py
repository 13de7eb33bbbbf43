"""Writes what the evaluation reports: means and differences, the table of all queries, figures and warnings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.formatting import counted
from embedtune.core.records.evaluation import VerdictRecord
from embedtune.core.records.metrics import FormMetrics, HybridMetrics, Metrics, SetMetrics, SizeMetrics
from embedtune.core.retrieval.beir import HELD_OUT
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_names, metric_title
from embedtune.evaluate.intervals import DECIMALS, Differences, Sampling, paired_intervals
from embedtune.evaluate.lexical_leak import lexical_leak
from embedtune.evaluate.result import SetResult

FEW_QUERIES = 50  # the reference recipe asks for at least 50
FEW_UNITS = 10  # below it, a gain has to show in nearly every family to be a WIN (ADR 0013)
DRIFT = 0.005  # of nDCG@10 from checkpoint to endpoint; more is not rounding (export.max_ndcg_drift)


@dataclass(frozen=True)
class Extras:
    """Further metrics of one set.

    Args:
        smaller: With smaller vectors.
        forms: With each form of vectors that is served.
        hybrid: Together with BM25.
    """

    smaller: tuple[SizeMetrics, ...]
    forms: tuple[FormMetrics, ...]
    hybrid: HybridMetrics


def metrics_record(
    results: list[SetResult],
    against_base: Differences,
    against_champion: Differences | None,
    extras: Mapping[str, Extras],
) -> Metrics:
    """Return the content of metrics.json.

    Args:
        results: One per set.
        against_base: Differences tuned - base.
        against_champion: Differences tuned - champion; None without one.
        extras: Further metrics of each set, by name.
    """
    return Metrics(
        sets={
            result.name: SetMetrics(
                queries=len(result.data.queries),
                units=result.units.count,
                systems={
                    system: {name: round(value, DECIMALS) for name, value in result.means(system).items()}
                    for system in result.runs
                },
                delta=dict(against_base[result.name]),
                delta_champion=dict(against_champion[result.name]) if against_champion else None,
                smaller=extras[result.name].smaller,
                forms=extras[result.name].forms,
                hybrid=extras[result.name].hybrid,
            )
            for result in results
        }
    )


def report_metrics(
    results: list[SetResult], differences: Differences, verdict: VerdictRecord
) -> dict[str, float | int | str]:
    """Return the figures for the manifest and for a pipeline's run comparison."""
    figures: dict[str, float | int | str] = {"verdict": verdict.verdict.value, "decided_on": verdict.decided_on}
    for result in results:
        figures[f"{result.name}.queries"] = len(result.data.queries)
        figures[f"{result.name}.families"] = result.units.count
        for system in result.runs:
            mean = result.means(system)[DECIDING_METRIC]
            figures[f"{result.name}.{system}.{DECIDING_METRIC}"] = round(mean, DECIMALS)
        for dimension, smaller in result.smaller.items():
            mean = smaller.means("tuned")[DECIDING_METRIC]
            figures[f"{result.name}.tuned.{DECIDING_METRIC}.{dimension}_dimensions"] = round(mean, DECIMALS)
        figures[f"{result.name}.delta.{DECIDING_METRIC}"] = differences[result.name][DECIDING_METRIC].mean
        figures[f"{result.name}.bm25_rank1_share"] = round(result.lexical_share, DECIMALS)
        figures[f"{result.name}.word_overlap"] = round(result.word_overlap, DECIMALS)
    return figures


def notes(results: list[SetResult], differences: Differences, champion_differs: bool) -> tuple[str, ...]:
    """Return the remarks that a reader should know before trusting the verdict."""
    remarks = []
    for result in results:
        queries = len(result.data.queries)
        if queries < FEW_QUERIES:
            remarks.append(
                f"{result.name}: only {queries} questions; the intervals are wide, treat them as an indication"
            )
        if result.units.count < FEW_UNITS:
            families = counted(result.units.count, "family", "families")
            remarks.append(
                f"{result.name}: the questions are about only {families} of documents, which decide the width of "
                "the intervals; questions about more documents would narrow them"
            )
        leak = lexical_leak(result)
        if leak.found:
            remarks.append(f"{result.name}: {leak.sentence}")
        fallen = [name for name, interval in differences[result.name].items() if interval.direction == "down"]
        if fallen:
            remarks.append(f"{result.name}: these metrics fell, with the interval below 0: {', '.join(fallen)}")
        if "endpoint" in result.runs and (remark := _drift(result)):
            remarks.append(remark)
    if champion_differs:
        remarks.append("the champion was trained with a different passage template than these passages use")
    return tuple(remarks)


def _drift(result: SetResult) -> str | None:
    served, trained = result.means("endpoint")[DECIDING_METRIC], result.means("tuned")[DECIDING_METRIC]
    if abs(served - trained) <= DRIFT:
        return None
    return (
        f"{result.name}: the endpoint's {metric_title(DECIDING_METRIC)} is {served:.4f}, "
        f"the tuned model's {trained:.4f}: it serves another model, or does not serve this one faithfully"
    )


def seen_notes(results: list[SetResult], settings: EvaluateSettings, seed: int) -> tuple[str, ...]:
    """Say for each set how many questions are about documents that training saw, and how the others changed.

    Only sets built by `embedtune eval-set` carry this. Training saw other questions about these documents.
    """
    remarks = []
    for result in results:
        splits = [query.metadata.get("answered_in") for query in result.data.queries]
        unseen = [row for row, split in enumerate(splits) if split in HELD_OUT]
        seen = sum(split in ("train", "several") for split in splits)
        if not seen:
            continue
        remark = f"{result.name}: {seen} of {len(splits)} questions are answered in documents that training saw"
        remarks.append(remark + (_change_of(result, unseen, settings, seed) if unseen else ""))
    return tuple(remarks)


def _change_of(result: SetResult, unseen: list[int], settings: EvaluateSettings, seed: int) -> str:
    base, tuned = ([result.rows(system)[row] for row in unseen] for system in ("base", "tuned"))
    intervals = paired_intervals(tuned, base, result.units.of(unseen), Sampling.of(settings, seed))
    change = intervals[DECIDING_METRIC]
    doubt = ", which contains 0" if change.direction == "unsure" else ""
    return (
        f"; on the {len(unseen)} answered in none of them {metric_title(DECIDING_METRIC)} changed by "
        f"{change.mean:+.4f} ({settings.confidence:.0%} interval {change.low:+.4f} … {change.high:+.4f}{doubt})"
    )


def write_per_query(path: Path, results: list[SetResult]) -> None:
    """Write one row per set, query and system: every metric, the rank of the first relevant passage, the families.

    With the families, two evaluations can be compared question by question without their passages.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "set": result.name,
            "query_id": query.id,
            "query": query.text,
            "system": system,
            **result.per_query[system][query.id],
            "first_relevant_rank": result.first_rank(system, query.id),
            "families": families,
        }
        for result in results
        for system in result.runs
        for query, families in zip(result.data.queries, result.families, strict=True)
    ]
    text, number = pa.string(), pa.float64()
    schema = pa.schema(
        [(name, text) for name in ("set", "query_id", "query", "system")]
        + [(name, number) for name in metric_names(results[0].k)]
        + [("first_relevant_rank", pa.int32()), ("families", pa.list_(text))]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
