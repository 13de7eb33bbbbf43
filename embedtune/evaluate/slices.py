"""Measures where tuning helps and where it hurts: nDCG@10 by kind of question."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

import numpy as np

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.records.evaluation import SetSlices, Slice, Slices
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.evaluate.intervals import DECIMALS, DIFFERENCE, MEAN, Sampling, mean_intervals
from embedtune.evaluate.result import SetResult

SMALL = 10  # document families below which a slice is marked, because its interval is too wide to say much
MOST_VALUES = 20  # of a metadata column; those with the fewest queries are one slice
Value = tuple[int, str]  # sorts first by the number, then by the label
SliceKey = Callable[[Record, int | None], Value | None]


def _metadata(key: str) -> SliceKey:
    def of(query: Record, _: int | None) -> Value | None:
        value = query.metadata.get(key)
        if isinstance(value, int):
            return value, str(value)
        return (0, value) if isinstance(value, str) and value else None

    return of


def _binned(number: int, starts: tuple[int, ...], labels: tuple[str, ...]) -> Value:
    place = bisect_right(starts, number) - 1
    return place, labels[place]


def _length(query: Record, _: int | None) -> Value:
    labels = ("1-4 words", "5-8 words", "9-14 words", "15 words or more")
    return _binned(max(1, len(query.text.split())), (1, 5, 9, 15), labels)


def _lexical_ease(_: Record, bm25_rank: int | None) -> Value:
    return (0, "BM25 finds it first") if bm25_rank == 1 else (1, "BM25 does not")


def _base_rank(query: Record, _: int | None) -> Value | None:
    rank = query.metadata.get("base_rank")
    if not isinstance(rank, int) or rank < 1:
        return None
    return _binned(rank, (1, 2, 11, 101), ("rank 1", "rank 2-10", "rank 11-100", "rank over 100"))


DIMENSIONS: dict[str, SliceKey] = {
    "all": lambda query, rank: (0, "all"),
    "hops": _metadata("hops"),
    "query_type": _metadata("query_type"),
    "style": _metadata("style"),
    "complexity": _metadata("complexity"),
    "length": _length,
    "lexical_ease": _lexical_ease,
    "base_rank": _base_rank,
    "answered_in": _metadata("answered_in"),
}


def _by_column(column: str, data: RetrievalSet) -> SliceKey:
    """Group queries by a metadata column of the documents that answer them, else by their own."""
    said = {record.id: _said(record, column) for record in data.corpus}
    values: dict[str, str] = {}
    for query in data.queries:
        found = {value for passage in data.qrels[query.id] if (value := said[passage])}
        if value := "several values" if len(found) > 1 else "".join(found) or _said(query, column):
            values[query.id] = value
    counts = Counter(values.values())
    kept = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_VALUES]

    def of(query: Record, _: int | None) -> Value | None:
        value = values.get(query.id)
        if value is None:
            return None
        return (0, value) if value in kept else (1, f"{len(counts) - MOST_VALUES} other values")

    return of


def _said(record: Record, column: str) -> str:
    """Return the value of a column: of the document that a passage is from, or of the record itself."""
    document = record.metadata.get("document")
    value = document.get(column) if isinstance(document, dict) else record.metadata.get(column)
    return str(value) if isinstance(value, str | int | float) else ""


def slices_record(results: list[SetResult], settings: EvaluateSettings, seed: int) -> Slices:
    """Return the content of slices.json."""
    return Slices(
        metric=DECIDING_METRIC,
        small_below=SMALL,
        sets={
            result.name: SetSlices(
                bm25_rank1_share=round(result.lexical_share, DECIMALS),
                word_overlap=round(result.word_overlap, DECIMALS),
                slices=slices_of(result, settings, seed),
            )
            for result in results
        },
    )


def slices_of(result: SetResult, settings: EvaluateSettings, seed: int) -> tuple[Slice, ...]:
    """Return one slice for each value of each dimension that the set's queries have."""
    systems = list(result.runs)
    columns = [[row[DECIDING_METRIC] for row in result.rows(system)] for system in systems]
    values = np.array(columns, dtype=np.float64).T
    difference = values[:, systems.index("tuned")] - values[:, systems.index("base")]
    sampling = Sampling.of(settings, seed)
    ranks = [result.first_rank("bm25", query.id) for query in result.data.queries]
    slices = []
    by_column = {column: _by_column(column, result.data) for column in settings.slice_by}
    for dimension, key in (DIMENSIONS | by_column).items():
        groups: dict[Value, list[int]] = {}
        for number, (query, rank) in enumerate(zip(result.data.queries, ranks, strict=True)):
            value = key(query, rank)
            if value is not None:
                groups.setdefault(value, []).append(number)
        for value, members in sorted(groups.items()):
            units = result.units.of(members)
            means = mean_intervals(values[members], units, sampling, MEAN)
            (delta,) = mean_intervals(difference[members, None], units, sampling, DIFFERENCE)
            slices.append(
                Slice(
                    dimension=dimension,
                    value=value[1],
                    queries=len(members),
                    units=units.count,
                    small=units.count < SMALL,
                    systems=dict(zip(systems, means, strict=True)),
                    delta=delta,
                )
            )
    return tuple(slices)
