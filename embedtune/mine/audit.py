"""The audit of mined negatives: the finished rows are checked again, and described in figures and examples."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.mine import MineSettings
from embedtune.core.errors import GateError
from embedtune.core.formatting import counted
from embedtune.core.records.audit import (
    Audit,
    Distribution,
    DroppedQuery,
    Histogram,
    LexicalDuplicate,
    LexicalDuplicates,
    NegativeExample,
    Quantiles,
    Rejected,
    TripletExample,
)
from embedtune.core.retrieval.shingles import containment, jaccard, shingles
from embedtune.mine.candidate_filter import Decision
from embedtune.mine.mining_set import MiningSet
from embedtune.mine.negatives import Mined
from embedtune.mine.triplets import Triplet

QUANTILES = {"minimum": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "maximum": 1.0}
BINS = 20
NARROWEST = 1e-4  # range of values from which on they are counted as they are
EXAMPLES = 10


def check(rows: Sequence[Triplet], margin: float) -> None:
    """Check the finished rows on their own, independently of how they were mined.

    Args:
        rows: Rows of the triplets table.
        margin: `mine.margin`.

    Raises:
        GateError: A score is not finite, a positive or its near-duplicate is among the negatives, a negative
            occurs twice, or one scores above the threshold.
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
            "a negative occurs twice": len(set(row["negative_ids"])) < len(row["negative_ids"]),
            "a negative scores above the threshold": any(score > limit for score in row["negative_scores"]),
        }
        if fault := next((name for name, found in faults.items() if found), None):
            shown = {
                "query_id": row["query_id"],
                "positive_ids": row["positive_ids"],
                "negative_ids": row["negative_ids"],
                "negative_scores": row["negative_scores"],
            }
            raise GateError(f"mined negatives are wrong: {fault}", got=shown, fix="report this as a bug")


def check_short(data: MiningSet, mined: Mined, settings: MineSettings) -> None:
    """Stop when too many queries lack negatives.

    Raises:
        GateError: Their share is above `mine.max_short_share`, or no query is left.
    """
    dropped = int((mined.counts < settings.min_negatives).sum())
    share = dropped / len(data.queries)
    if share > settings.max_short_share or dropped == len(data.queries):
        reasons = ", ".join(f"{reason.name.lower()} {count}" for reason, count in mined.rejected.items())
        raise GateError(
            f"{dropped} of {len(data.queries)} train queries have fewer negatives than {settings.min_negatives} "
            f"(mine.min_negatives) among {counted(len(data.passages), 'passage')}",
            got=f"{share:.0%}; rejected candidates: {reasons}",
            expected=f"at most mine.max_short_share {settings.max_short_share:.0%}, and a query that is left",
            fix="add documents, or lower mine.min_negatives and train.negatives, or mine.margin",
        )


def describe(
    data: MiningSet, mined: Mined, rows: Sequence[Triplet], settings: MineSettings, ingest: IngestSettings
) -> Audit:
    """Return the audit of the finished rows.

    Args:
        data: Queries, passages and judgements.
        mined: The negatives.
        rows: Rows of the triplets table.
        settings: Wanted negatives.
        ingest: Its near-duplicate thresholds.
    """
    kept = mined.counts >= settings.min_negatives
    chosen = (np.arange(mined.indices.shape[1]) < mined.counts[:, None]) & kept[:, None]
    dropped = [
        DroppedQuery(query_id=query.id, query=query.text, found=int(count))
        for query, count in zip(data.queries, mined.counts, strict=True)
        if count < settings.min_negatives
    ]
    return Audit(
        mining_corpus=len(data.passages),
        queries=len(data.queries),
        rows=len(rows),
        complete=int((mined.counts == settings.negatives).sum()),
        short=int((kept & (mined.counts < settings.negatives)).sum()),
        dropped=len(dropped),
        dropped_queries=tuple(dropped),
        rejected=Rejected(
            positive=mined.rejected[Decision.POSITIVE],
            group=mined.rejected[Decision.GROUP],
            sibling=mined.rejected[Decision.SIBLING],
            margin=mined.rejected[Decision.MARGIN],
        ),
        positive_scores=distribution(mined.pair_scores),
        negative_scores=distribution(mined.scores[chosen]),
        positive_ranks=distribution(mined.pair_ranks[mined.pair_ranks > 0]),
        negative_ranks=distribution(mined.ranks[chosen]),
        lexical_duplicates=_lexical_duplicates(rows, ingest),
        examples=tuple(_example(rows[index]) for index in _spread(len(rows), EXAMPLES)),
    )


def distribution(values: npt.NDArray[Any]) -> Distribution:
    """Return count, mean, quantiles and histogram of scores or ranks."""
    if not len(values):
        return Distribution(count=0)
    # The scores of a collapsed model differ by less than numpy can divide into bins.
    narrow = np.ptp(values) < NARROWEST
    counts, edges = np.histogram(np.round(values.astype(np.float64), 3) if narrow else values, bins=BINS)
    quantiles = np.quantile(values, list(QUANTILES.values()))
    return Distribution(
        count=len(values),
        mean=_rounded(values.mean()),
        quantiles=Quantiles(**{name: _rounded(value) for name, value in zip(QUANTILES, quantiles, strict=True)}),
        histogram=Histogram(counts=tuple(counts.tolist()), edges=tuple(_rounded(edge) for edge in edges)),
    )


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _lexical_duplicates(rows: Sequence[Triplet], ingest: IngestSettings) -> LexicalDuplicates:
    """Compare each positive with its negatives word for word, since the groups were found from sketches."""
    found = []
    for row in rows:
        positive = shingles(row["positive"])
        for negative_id, negative in zip(row["negative_ids"], row["negatives"], strict=True):
            other = shingles(negative)
            if (
                jaccard(positive, other) >= ingest.near_duplicate_jaccard
                or containment(positive, other) >= ingest.near_duplicate_containment
            ):
                found.append(
                    LexicalDuplicate(
                        query_id=row["query_id"], positive_id=row["positive_id"], negative_id=negative_id
                    )
                )
    checked = sum(len(row["negatives"]) for row in rows)
    return LexicalDuplicates(checked=checked, found=len(found), examples=tuple(found[:EXAMPLES]))


def _spread(total: int, wanted: int) -> list[int]:
    """Return up to `wanted` indices spread evenly over `total`."""
    return sorted({index * total // wanted for index in range(wanted)}) if total else []


def _example(row: Triplet) -> TripletExample:
    negatives = zip(row["negative_ids"], row["negatives"], row["negative_scores"], strict=True)
    return TripletExample(
        query_id=row["query_id"],
        query=row["query"],
        positive_id=row["positive_id"],
        positive=row["positive"],
        positive_score=row["positive_score"],
        negatives=tuple(NegativeExample(id=i, text=text, score=score) for i, text, score in negatives),
    )
