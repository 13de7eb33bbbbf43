"""The table of triplets: one row for each (query, positive), with the query's negatives."""

from collections import defaultdict
from typing import Any

import pyarrow as pa

from embedtune.mine.corpus import Source, normalised
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
Row = dict[str, Any]


def triplet_rows(source: Source, mined: Mined, min_negatives: int) -> list[Row]:
    """Return the rows of the queries that have enough negatives, in the order of the queries.

    `positive_ids` and `positive_groups` name everything that answers the question, through any query of its text:
    what training has to mask. Texts carry no prefix; whoever encodes them adds the contract's.

    Args:
        source: Queries, passages and judgements.
        mined: The negatives.
        min_negatives: A query with fewer is left out.
    """
    group_of = {record.id: str(record.metadata["group_id"]) for record in source.passages}
    answers: dict[str, set[str]] = defaultdict(set)
    for query in source.queries:
        answers[normalised(query.text)] |= source.qrels[query.id].keys()
    rows = []
    pairs = zip(*source.pairs(), mined.pair_scores.tolist(), strict=True)
    for query_index, passage_index, score in pairs:
        count = int(mined.counts[query_index])
        if count < min_negatives:
            continue
        query, positive = source.queries[query_index], source.passages[passage_index]
        negatives = [source.passages[index] for index in mined.indices[query_index, :count]]
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
