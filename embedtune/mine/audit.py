"""The audit of mined negatives: checked again from the finished rows, and described for a reader."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from embedtune.core.config.config import Config
from embedtune.core.errors import GateError
from embedtune.core.retrieval.shingles import containment, jaccard, shingles
from embedtune.mine.corpus import Source
from embedtune.mine.negatives import Mined
from embedtune.mine.triplets import Row

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
EXAMPLES = 10


def check(rows: Sequence[Row], margin: float) -> None:
    """Check the finished rows by themselves, independently of how they were mined.

    Args:
        rows: Rows of the triplets table.
        margin: `mine.margin`.

    Raises:
        GateError: A score is not finite, a positive or its near-duplicate is among the negatives, a negative is
            named twice, or one scores above the threshold.
    """
    lowest: dict[str, float] = {}
    for row in rows:
        lowest[row["query_id"]] = min(row["positive_score"], lowest.get(row["query_id"], math.inf))
    for row in rows:
        p = lowest[row["query_id"]]
        limit = p - margin * abs(p) + 1e-6  # float32 rounding
        faults = {
            "a score is not finite": not np.isfinite([row["positive_score"], *row["negative_scores"]]).all(),
            "a positive is among the negatives": set(row["negative_ids"]) & set(row["positive_ids"]),
            "a near-duplicate of a positive is among the negatives": (
                set(row["negative_groups"]) & set(row["positive_groups"])
            ),
            "a text is both positive and negative": row["positive"] in row["negatives"],
            "a negative is named twice": len(set(row["negative_ids"])) < len(row["negative_ids"]),
            "a negative scores above the threshold": any(score > limit for score in row["negative_scores"]),
        }
        if fault := next((name for name, found in faults.items() if found), None):
            shown = {name: row[name] for name in ("query_id", "positive_ids", "negative_ids", "negative_scores")}
            raise GateError(f"mined negatives are wrong: {fault}", got=shown, fix="report this as a bug")


def check_short(source: Source, mined: Mined, config: Config) -> None:
    """Stop when too many queries lack negatives.

    Raises:
        GateError: Their share is above `mine.max_short_share`, or no query is left.
    """
    dropped = int((mined.counts < config.mine.min_negatives).sum())
    share = dropped / len(source.queries)
    if share > config.mine.max_short_share or dropped == len(source.queries):
        reasons = ", ".join(f"{verdict.name.lower()} {count}" for verdict, count in mined.rejected.items())
        raise GateError(
            f"{dropped} of {len(source.queries)} train queries found fewer than {config.mine.min_negatives} "
            f"negatives among {len(source.passages)} passages",
            got=f"{share:.0%}; rejected candidates: {reasons}",
            expected=f"mine.max_short_share {config.mine.max_short_share:.0%}",
            fix="add documents, or set mine.min_negatives and train.negatives, or mine.margin, lower",
        )


def describe(source: Source, mined: Mined, rows: Sequence[Row], config: Config) -> dict[str, Any]:
    """Return the content of audit.json.

    Args:
        source: Queries, passages and judgements.
        mined: The negatives.
        rows: Rows of the triplets table.
        config: The configuration.
    """
    kept = mined.counts >= config.mine.min_negatives
    chosen = (np.arange(mined.indices.shape[1]) < mined.counts[:, None]) & kept[:, None]
    dropped = np.flatnonzero(~kept)
    return {
        "settings": config.mine.model_dump(mode="json", exclude={"block"}),
        "mining_corpus": len(source.passages),
        "queries": len(source.queries),
        "rows": len(rows),
        "complete": int((mined.counts == config.mine.negatives).sum()),
        "short": int((kept & (mined.counts < config.mine.negatives)).sum()),
        "dropped": len(dropped),
        "dropped_queries": [
            {
                "query_id": source.queries[row].id,
                "query": source.queries[row].text,
                "found": int(mined.counts[row]),
            }
            for row in dropped
        ],
        "rejected": {verdict.name.lower(): count for verdict, count in mined.rejected.items()},
        "positive_scores": distribution(mined.pair_scores),
        "negative_scores": distribution(mined.scores[chosen]),
        "positive_ranks": distribution(mined.pair_ranks[mined.pair_ranks > 0]),
        "negative_ranks": distribution(mined.ranks[chosen]),
        "lexical_duplicates": _lexical_duplicates(rows, config),
        "examples": [_example(rows[index]) for index in _spread(len(rows), EXAMPLES)],
    }


def distribution(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Return count, mean, quantiles and a histogram of 20 bins."""
    if not len(values):
        return {"count": 0}
    counts, edges = np.histogram(values, bins=20)
    return {
        "count": len(values),
        "mean": _rounded(values.mean()),
        "quantiles": {
            f"{q:g}": _rounded(value) for q, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
        },
        "histogram": {"counts": counts.tolist(), "edges": [_rounded(edge) for edge in edges]},
    }


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _lexical_duplicates(rows: Sequence[Row], config: Config) -> dict[str, Any]:
    """Compare each positive with its negatives word for word, since the groups rest on sketches."""
    found = []
    for row in rows:
        positive = shingles(row["positive"])
        for negative_id, negative in zip(row["negative_ids"], row["negatives"], strict=True):
            other = shingles(negative)
            if (
                jaccard(positive, other) >= config.ingest.near_duplicate_jaccard
                or containment(positive, other) >= config.ingest.near_duplicate_containment
            ):
                found.append(
                    {"query_id": row["query_id"], "positive_id": row["positive_id"], "negative_id": negative_id}
                )
    checked = sum(len(row["negatives"]) for row in rows)
    return {"checked": checked, "found": len(found), "examples": found[:EXAMPLES]}


def _spread(total: int, wanted: int) -> list[int]:
    """Return up to `wanted` indices spread evenly over `total`."""
    return sorted({index * total // wanted for index in range(wanted)}) if total else []


def _example(row: Row) -> dict[str, Any]:
    names = ("query_id", "query", "positive_id", "positive", "positive_score")
    negatives = zip(row["negative_ids"], row["negatives"], row["negative_scores"], strict=True)
    return {
        **{name: row[name] for name in names},
        "negatives": [{"id": i, "text": text, "score": score} for i, text, score in negatives],
    }
