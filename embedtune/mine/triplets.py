"""The table of triplets: one row per (query, positive) pair, with the query's negatives."""

from collections import defaultdict
from typing import TypedDict

import pyarrow as pa

from embedtune.mine.mining_set import MiningSet, normalised
from embedtune.mine.negatives import Mined

_IDS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("positive_id", pa.string()),
        ("positive", pa.string()),
        ("positive_score", pa.float32()),
        ("positive_ids", _IDS),
        ("positive_groups", _IDS),
        ("group_id", pa.string()),
        ("negative_ids", _IDS),
        ("negatives", _IDS),
        ("negative_groups", _IDS),
        ("negative_scores", pa.list_(pa.float32())),
    ]
)


class Triplet(TypedDict):
    """A row of triplets.parquet; `SCHEMA` has the same columns."""

    query_id: str
    query: str
    positive_id: str
    positive: str
    positive_score: float
    positive_ids: list[str]
    positive_groups: list[str]
    group_id: str
    negative_ids: list[str]
    negatives: list[str]
    negative_groups: list[str]
    negative_scores: list[float]


def triplet_rows(data: MiningSet, mined: Mined, min_negatives: int) -> list[Triplet]:
    """Return the rows of the queries that have enough negatives, in the order of the queries.

    `positive_ids` and `positive_groups` list everything that answers the question, through any query with its
    text, or may answer it: training masks these passages. Texts carry no prefix; the contract's is added when they
    are encoded.

    Args:
        data: Queries, passages and judgements.
        mined: The negatives.
        min_negatives: A query with fewer is left out.
    """
    group_of = {record.id: str(record.metadata["group_id"]) for record in data.passages}
    answers: dict[str, set[str]] = defaultdict(set)
    for query in data.queries:
        unsure = (passage for passage in data.unsure(query) if passage in group_of)
        answers[normalised(query.text)] |= {*data.qrels[query.id], *unsure}
    rows: list[Triplet] = []
    pairs = zip(*data.pairs(), mined.pair_scores.tolist(), strict=True)
    for query_index, passage_index, score in pairs:
        count = int(mined.counts[query_index])
        if count < min_negatives:
            continue
        query, positive = data.queries[query_index], data.passages[passage_index]
        negatives = [data.passages[index] for index in mined.indices[query_index, :count]]
        ids = sorted(answers[normalised(query.text)])
        rows.append(
            {
                "query_id": query.id,
                "query": query.text,
                "positive_id": positive.id,
                "positive": positive.text,
                "positive_score": score,
                "positive_ids": ids,
                "positive_groups": [group_of[passage] for passage in ids],
                "group_id": group_of[positive.id],
                "negative_ids": [negative.id for negative in negatives],
                "negatives": [negative.text for negative in negatives],
                "negative_groups": [group_of[negative.id] for negative in negatives],
                "negative_scores": mined.scores[query_index, :count].tolist(),
            }
        )
    return rows
