"""What the evaluation writes: means and differences, slices, the table of all queries, figures and warnings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedtune.core.config.config import Config
from embedtune.core.retrieval.metrics import metric_names
from embedtune.evaluate.bootstrap import DECIMALS, Differences, paired_intervals
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.slices import SMALL, slice_records
from embedtune.evaluate.verdict import METRIC

FEW_QUERIES = 50  # the reference recipe asks for at least as many
DRIFT = 0.005  # in nDCG@10 between checkpoint and endpoint; more is no rounding (export.max_ndcg_drift)
LEXICAL_LIMIT = 0.7  # share of questions that BM25 answers first, above which a set says little about meaning


def metrics_record(
    results: list[SetResult], against_base: Differences, against_champion: Differences | None
) -> dict[str, Any]:
    """Return the content of metrics.json: the means of each system, and the differences with their intervals."""
    sets: dict[str, dict[str, Any]] = {}
    for result in results:
        means = {system: result.means(system) for system in result.runs}
        sets[result.name] = {
            "queries": len(result.data.queries),
            "systems": {
                system: {name: round(value, DECIMALS) for name, value in row.items()}
                for system, row in means.items()
            },
            "delta": {name: interval.record for name, interval in against_base[result.name].items()},
        }
        if against_champion:
            rivals = against_champion[result.name]
            sets[result.name]["delta_champion"] = {name: value.record for name, value in rivals.items()}
    return {"sets": sets}


def slices_record(results: list[SetResult], config: Config) -> dict[str, Any]:
    """Return the content of slices.json."""
    return {
        "metric": METRIC,
        "small_below": SMALL,
        "sets": {
            result.name: {
                "bm25_rank1_share": round(result.lexical_share, DECIMALS),
                "slices": slice_records(result, config.evaluate, config.seed),
            }
            for result in results
        },
    }


def report_metrics(
    results: list[SetResult], differences: Differences, verdict: Mapping[str, Any]
) -> dict[str, float | int | str]:
    """Return the figures for the manifest and for a pipeline's run comparison."""
    figures: dict[str, float | int | str] = {"verdict": verdict["verdict"], "decided_on": verdict["decided_on"]}
    for result in results:
        figures[f"{result.name}.queries"] = len(result.data.queries)
        for system in result.runs:
            figures[f"{result.name}.{system}.{METRIC}"] = round(result.means(system)[METRIC], DECIMALS)
        figures[f"{result.name}.delta.{METRIC}"] = differences[result.name][METRIC].mean
        figures[f"{result.name}.bm25_rank1_share"] = round(result.lexical_share, DECIMALS)
    return figures


def notes(results: list[SetResult], differences: Differences, champion_differs: bool) -> tuple[str, ...]:
    """Return what a reader should know before trusting the verdict."""
    remarks = []
    for result in results:
        queries = len(result.data.queries)
        if queries < FEW_QUERIES:
            remarks.append(f"{result.name}: only {queries} questions; the intervals are wide, see them as a hint")
        if result.lexical_share > LEXICAL_LIMIT:
            remarks.append(
                f"{result.name}: BM25 answers {result.lexical_share:.0%} of the questions at rank 1; "
                "they repeat their passages' words and are easier than what people type"
            )
        fallen = [name for name, interval in differences[result.name].items() if interval.high < 0]
        if fallen:
            remarks.append(f"{result.name}: fell, with its interval below 0: {', '.join(fallen)}")
        if "endpoint" in result.runs and (remark := _drift(result)):
            remarks.append(remark)
    if champion_differs:
        remarks.append("the champion was trained with another passage template than these passages have")
    return tuple(remarks)


def _drift(result: SetResult) -> str | None:
    served, trained = result.means("endpoint")[METRIC], result.means("tuned")[METRIC]
    if abs(served - trained) <= DRIFT:
        return None
    return (
        f"{result.name}: the endpoint's nDCG@10 is {served:.4f}, the tuned model's {trained:.4f}: "
        "it serves another model, or not faithfully"
    )


def seen_notes(results: list[SetResult], config: Config) -> tuple[str, ...]:
    """Say of each set how many of its questions are about documents that training saw, and how the others fared.

    Known for sets that `embedtune eval-set` built: training saw other questions about these documents.
    """
    remarks = []
    for result in results:
        splits = [query.metadata.get("answered_in") for query in result.data.queries]
        unseen = [row for row, split in enumerate(splits) if split in ("dev", "test")]
        seen = sum(split in ("train", "several") for split in splits)
        if not seen:
            continue
        remark = f"{result.name}: {seen} of {len(splits)} questions are answered in documents that training saw"
        if unseen:
            base, tuned = ([result.rows(system)[row] for row in unseen] for system in ("base", "tuned"))
            settings = config.evaluate
            change = paired_intervals(tuned, base, settings.bootstrap_samples, settings.confidence, config.seed)[
                METRIC
            ]
            doubt = ", which contains 0" if change.low <= 0 <= change.high else ""
            remark += (
                f"; on the {len(unseen)} answered in none of them nDCG@10 changed by {change.mean:+.4f} "
                f"({settings.confidence:.0%} interval {change.low:+.4f} … {change.high:+.4f}{doubt})"
            )
        remarks.append(remark)
    return tuple(remarks)


def write_per_query(path: Path, results: list[SetResult]) -> None:
    """Write one row for each set, query and system: every metric and the rank of the first relevant passage."""
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
        }
        for result in results
        for system in result.runs
        for query in result.data.queries
    ]
    text, number = pa.string(), pa.float64()
    schema = pa.schema(
        [(name, text) for name in ("set", "query_id", "query", "system")]
        + [(name, number) for name in metric_names(results[0].k)]
        + [("first_relevant_rank", pa.int32())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
