"""The triplets: one row per (query, positive) pair, with the query's negatives; passages are stored once."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.mine.mining_set import MiningSet, normalised
from embedtune.mine.negatives import Mined

TRIPLETS_FILE, PASSAGES_FILE = "triplets.parquet", "passages.parquet"
ROWS = 65_536  # in one row group, so that readers need not hold a table at once
_IDS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("positive_id", pa.string()),
        ("positive_score", pa.float32()),
        ("positive_ids", _IDS),
        ("negative_ids", _IDS),
        ("negative_scores", pa.list_(pa.float32())),
        ("weight", pa.float32()),
    ]
)
# Rows name passages by id. Lists of texts would end at 2 GiB, since Arrow cannot read longer ones within a nested
# column, and would repeat a passage for each query that it is a negative of.
PASSAGE_SCHEMA = pa.schema([("passage_id", pa.string()), ("group_id", pa.string()), ("text", pa.large_string())])


class Triplet(TypedDict):
    """A row of triplets.parquet (`SCHEMA` has the columns), with texts and groups for the checks and the audit."""

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
    weight: float


def triplet_rows(data: MiningSet, mined: Mined, min_negatives: int) -> list[Triplet]:
    """Return the rows of the queries that have enough negatives, in the order of the queries.

    `positive_ids` and `positive_groups` list everything that answers the question, through any query with its
    text, or may answer it: training masks these passages. Texts carry no prefix; the contract's is added when they
    are encoded. `weight` is the query's own: how much training counts the row.

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
                "weight": data.weight(query),
            }
        )
    return rows


def write_triplets(path: Path, rows: Sequence[Triplet], data: MiningSet) -> None:
    """Write the rows, and the table of all passages that they name.

    Args:
        path: Directory of the artifact.
        rows: The rows.
        data: The passages, in the order in which they are written.
    """
    with pq.ParquetWriter(path / TRIPLETS_FILE, SCHEMA) as writer:
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            columns = {name: [row[name] for row in part] for name in SCHEMA.names}  # type: ignore[literal-required]
            writer.write_table(pa.table(columns, schema=SCHEMA))
    named = {passage for row in rows for passage in (*row["positive_ids"], *row["negative_ids"])}
    kept = [passage for passage in data.passages if passage.id in named]
    with pq.ParquetWriter(path / PASSAGES_FILE, PASSAGE_SCHEMA) as writer:
        for start in range(0, len(kept), ROWS):
            passages = kept[start : start + ROWS]
            texts = {
                "passage_id": [passage.id for passage in passages],
                "group_id": [str(passage.metadata["group_id"]) for passage in passages],
                "text": [passage.text for passage in passages],
            }
            writer.write_table(pa.table(texts, schema=PASSAGE_SCHEMA))
