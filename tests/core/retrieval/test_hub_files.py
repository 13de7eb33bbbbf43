"""Datasets of the hub: Parquet, compressed files and JSONL in the place of BEIR's files, in every layout."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import Record, read_qrels, read_records, read_retrieval_set
from embedtune.core.retrieval.hub_files import files_of

LAYOUTS = {
    "MTEB": ("corpus/corpus-{}-of-00002", "queries/queries-{}-of-00002", "default/test-{}-of-00002"),
    "push_to_hub": ("corpus/test-{}-of-00002", "queries/test-{}-of-00002", "qrels/test-{}-of-00002"),
    "converted": ("corpus/corpus/{}", "queries/queries/{}", "default/test/{}"),
    "data": ("data/corpus-{}-of-00002", "data/queries-{}-of-00002", "data/test-{}-of-00002"),
}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sharded_files_are_read_as_one_set(layout: str, tmp_path: Path) -> None:
    corpus, queries, qrels = LAYOUTS[layout]
    for number in range(2):
        shard = f"{number:05}"
        write(tmp_path, corpus.format(shard), [{"_id": number, "title": "A", "text": f"text {number}"}])
        write(tmp_path, queries.format(shard), [{"_id": f"q{number}", "text": "who?"}])
        judged = [{"query-id": f"q{number}", "corpus-id": number, "score": 1.0}]
        write(tmp_path, qrels.format(shard), [*judged, {"query-id": "q0", "corpus-id": 1 - number, "score": 0.0}])
    data = read_retrieval_set(tmp_path, "test")
    assert data.corpus == [Record("0", "A text 0"), Record("1", "A text 1")]
    assert data.qrels == {"q0": {"0": 1}, "q1": {"1": 1}}


def test_files_of_the_beir_layout_come_first(tmp_path: Path) -> None:
    write(tmp_path, "corpus/corpus-00000-of-00001", [{"_id": "p", "text": "new"}])
    (tmp_path / "corpus.jsonl").write_text('{"_id": "p", "text": "old"}\n')
    assert read_records(tmp_path / "corpus.jsonl") == [Record("p", "old")]


def test_a_split_is_its_own_files_only(tmp_path: Path) -> None:
    for split in ("train", "validation", "test", "testing"):
        write(tmp_path, f"qrels/{split}-00000-of-00001", [{"query_id": split, "corpus_id": 7, "score": 2}])
    assert [read_qrels(tmp_path / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")] == [
        {"train": {"7": 2}},
        {"validation": {"7": 2}},
        {"test": {"7": 2}},
    ]
    assert files_of(tmp_path / "qrels" / "more.tsv") == []


@pytest.mark.parametrize(
    "row",
    [
        {"query-id": "q", "corpus-id": "p", "score": 0.5},
        {"query-id": "q", "corpus-id": None, "score": 1},
        {"a": 1},
    ],
)
def test_a_row_that_is_no_judgement_is_named(row: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "qrels/test", [row])
    with pytest.raises(InputError, match=r"test\.parquet:1 is not a relevance judgement"):
        read_qrels(tmp_path / "qrels" / "test.tsv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"_id": "p", "text": None}, "text is null"),
        ({"_id": 1.5, "text": "x"}, "_id"),
        ({"text": "x"}, 'there is no "_id"'),
    ],
)
def test_a_row_that_is_no_record_is_named(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path, "corpus", [{"_id": "o", "text": "x", **row} if "_id" in row else row])
    with pytest.raises(InputError, match=rf"corpus\.parquet:1 is not a BEIR record: {reason}"):
        read_records(tmp_path / "corpus.jsonl")


def test_compressed_files_are_read_and_damaged_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    packed = gzip.compress(b'{"_id": "p", "title": "A", "text": "old"}\n{"_id": "r", "text": null}\n')
    path.with_name("corpus.jsonl.gz").write_bytes(packed)
    with pytest.raises(InputError, match=r"corpus\.jsonl\.gz:2 is not a BEIR record: text is null"):
        read_records(path)
    for damaged in (packed[:-12], b"plain text", packed[:20] + b"??" + packed[22:]):
        path.with_name("corpus.jsonl.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"corpus\.jsonl\.gz is damaged"):
            read_records(path)
    path.with_name("corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "p", "title": "A", "text": "old"}\n'))
    assert read_records(path) == [Record("p", "A old")]


def test_judgements_in_jsonl_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "qrels"
    folder.mkdir()
    rows = '{"query-id": "q", "corpus-id": 7, "score": 1.0}\n\n{"query-id": "q", "corpus-id": "p", "score": 0}\n'
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text(rows)
    assert [read_qrels(folder / f"{split}.tsv") for split in ("train", "dev")] == [{"q": {"7": 1}}] * 2
    assert files_of(folder / "test.tsv") == []


@pytest.mark.parametrize(
    "row", ['{"query-id": "q", "corpus-id": "", "score": 1}', '{"query-id": "q", "corp', "[1]", '{"score": 1}']
)
def test_a_line_that_is_no_judgement_is_named(row: str, tmp_path: Path) -> None:
    folder = tmp_path / "qrels"
    folder.mkdir()
    (folder / "test.jsonl").write_text('{"query-id": "q", "corpus-id": "p", "score": 1}\n' + row)
    with pytest.raises(InputError, match=r"test\.jsonl:2 is not a relevance judgement"):
        read_qrels(folder / "test.tsv")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        read_records(tmp_path / "corpus.jsonl")
    (tmp_path / "corpus.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_records(tmp_path / "corpus.jsonl")
