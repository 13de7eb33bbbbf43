"""The tables of the chunks artifact."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.retrieval.beir import SPLITS
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.assign_splits import SEVERAL, Membership
from embedtune.ingest.corpus import Corpus
from embedtune.ingest.sources import Skipped

ROWS = 1000  # in memory at once
CHUNKS = pa.schema(
    [
        ("chunk_id", pa.string()),
        ("doc_id", pa.string()),
        ("text", pa.string()),
        ("heading_path", pa.list_(pa.string())),
        ("position", pa.int64()),
        ("char_start", pa.int64()),
        ("char_end", pa.int64()),
        ("n_words", pa.int64()),
        ("n_tokens", pa.int64()),
        ("group_id", pa.string()),
        ("split", pa.string()),
        ("boilerplate", pa.bool_()),
        ("family", pa.string()),
        ("border", pa.bool_()),
    ]
)
DOCUMENTS = pa.schema(
    [
        ("doc_id", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("title", pa.string()),
        ("n_words", pa.int64()),
        ("remarks", pa.list_(pa.string())),
        ("metadata", pa.map_(pa.string(), pa.string())),
        ("split", pa.string()),
    ]
)
SKIPPED = pa.schema([("path", pa.string()), ("reason", pa.string())])


def write_tables(folder: Path, corpus: Corpus, groups: Labels, membership: Membership) -> None:
    """Write the three tables.

    Args:
        folder: Directory to write the tables to.
        corpus: The result of the first pass.
        groups: The cluster of near-duplicates of each chunk.
        membership: Which chunks are boilerplate, and the family and split of each.
    """
    splits = _document_splits(corpus, membership)
    documents = (
        {**item, "metadata": list(item["metadata"].items()), "split": split}
        for item, split in zip(corpus.documents, splits, strict=True)
    )
    _write(folder / "documents.parquet", DOCUMENTS, documents)
    _write(folder / "skipped.parquet", SKIPPED, map(vars, sorted(corpus.skipped, key=_by_path)))
    _write(folder / "chunks.parquet", CHUNKS, _chunk_rows(corpus, groups, membership))


def _document_splits(corpus: Corpus, membership: Membership) -> list[str]:
    found: list[set[str]] = [set() for _ in corpus.documents]
    for owner, split in zip(corpus.owners, membership.splits.tolist(), strict=True):
        found[owner].add(SPLITS[split])
    return [splits.pop() if len(splits) == 1 else SEVERAL for splits in found]


def _by_path(item: Skipped) -> str:
    return item.path


def _chunk_rows(corpus: Corpus, groups: Labels, membership: Membership) -> Iterator[Mapping[str, object]]:
    smallest = np.full(int(groups.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, groups, np.frombuffer(corpus.ids, dtype=np.uint64))
    common = np.isin(groups, membership.boilerplate)
    for number, row in enumerate(corpus.chunks):
        yield {
            **row,
            "group_id": f"{int(smallest[groups[number]]):016x}",
            "split": SPLITS[membership.splits[number]],
            "boilerplate": bool(common[number]),
            "family": membership.units.names[membership.units.of_chunks[number]],
            "border": bool(membership.border[number]),
        }


def _write(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, object]]) -> None:
    remaining = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
