"""The table of bench/gain.py: one row per recipe, checkpoint and share of the base."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaining.training import METRICS

from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.result import SetResult
from embedtune.local.curve.curve import difference

SAMPLING = Sampling(samples=2000, confidence=0.95, seed=42)
COLUMNS = (
    *("collection", "base", "recipe", "kept", "base's share", "seeds", "nDCG@10", "difference", "95 %"),
    *("recall@10", "recall@100", "nDCG@10 + BM25", "dev", "s", "MB"),
)


def table(collection: str, base: str, results: Path, people: RetrievalSet) -> list[str]:
    """Return the table of one collection and base in Markdown.

    Args:
        collection: Name of the collection.
        base: Name of the base model.
        results: Directory of the JSON files.
        people: The questions.
    """
    untouched = json.loads((results / "base.json").read_text())
    lines = [_line(COLUMNS), "|" + "---|" * len(COLUMNS)]
    lines += [_plain(collection, base, name, row) for name, row in untouched.items()]
    groups: dict[tuple[str, str], list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
    for file in sorted(results.glob("*-*.json")):
        result = json.loads(file.read_text())
        for variant, measured in result["measured"].items():
            groups[file.stem.rpartition("-")[0], variant].append((result, measured))
    return lines + [_row(collection, base, key, rows, untouched["base"], people) for key, rows in groups.items()]


def _mean(rows: list[dict[str, Any]], metric: str) -> float:
    return sum(values[metric] for one in rows for values in one.values()) / sum(map(len, rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(collection: str, base: str, name: str, row: dict[str, Any]) -> str:
    ndcg, *recalls = (f"{_mean([row], metric):.4f}" for metric in METRICS)
    return _line((collection, base, name, "", "", "", ndcg, "", "", *recalls, "", "", "", ""))


def _row(
    collection: str,
    base: str,
    key: tuple[str, str],
    rows: list[tuple[dict[str, Any], dict[str, Any]]],
    untouched: dict[str, Any],
    people: RetrievalSet,
) -> str:
    recipe, variant = key
    kept, share = variant.split(", ")
    names = [query.id for query in people.queries]
    questions = [measured["people"] for _, measured in rows]
    ours = [{name: one[name][DECIDING_METRIC] for name in names} for one in questions]
    theirs = {name: untouched[name][DECIDING_METRIC] for name in names}
    units = SetResult(collection, people, {}, ()).units
    found = difference(ours, [theirs] * len(ours), names, units, SAMPLING)
    means = [_mean(questions, metric) for metric in METRICS]
    hybrid = _mean([measured["hybrid"] for _, measured in rows], DECIDING_METRIC)
    dev = sum(measured["dev"] or 0.0 for _, measured in rows) / len(rows)
    seconds = sum(result["seconds"] for result, _ in rows) / len(rows)
    peak = max(result["peak_mb"] for result, _ in rows)
    return _line(
        (
            *(collection, base, recipe, kept, share, str(len(rows))),
            *(f"{means[0]:.4f}", f"{found.mean:+.4f}", f"{found.low:+.4f} … {found.high:+.4f}"),
            *(f"{means[1]:.4f}", f"{means[2]:.4f}", f"{hybrid:.4f}", f"{dev:.4f}", f"{seconds:.0f}", str(peak)),
        )
    )
