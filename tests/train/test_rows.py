"""Rows name passages by id; texts and groups are looked up batch by batch."""

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.mine.triplets import PASSAGE_SCHEMA, SCHEMA
from embedtune.train.rows import RowCollator, read_rows
from tests.support.training_world import make_world


def test_a_row_gets_the_texts_and_groups_of_its_ids(tmp_path):
    rows = read_rows(make_world(tmp_path / "world", wrong=2).triplets, 2)
    assert len(rows) == 24
    assert rows.passages.resolve(rows.stored[0]) == {
        "query": "the pressure limit of the press",
        "positive": "the pressure limit of the press is 0",
        "group_id": "p0",
        "positive_groups": ["p0"],
        "negatives": ["the oil grade of the press is 1", "the start time of the press is 2"],
        "negative_groups": ["p1", "p2"],
        "weight": 1.0,
    }


def test_the_collator_sees_rows_with_texts(tmp_path):
    rows = read_rows(make_world(tmp_path / "world").triplets, 4)
    collate = RowCollator(rows.passages, lambda batch: {"queries": [row["query"] for row in batch]})
    assert collate([rows.stored[1], rows.stored[0]]) == {
        "queries": ["the oil grade of the press", "the pressure limit of the press"]
    }


def test_files_of_several_row_groups_are_read_whole(tmp_path):
    row = {"query_id": "q", "positive_id": "a", "positive_ids": ["a", "b"], "negative_ids": ["c"], "weight": 1.0}
    table = pa.Table.from_pylist([{**row, "query": f"{number}"} for number in range(5)], schema=SCHEMA)
    pq.write_table(table, tmp_path / "triplets.parquet", row_group_size=2)
    passages = [{"passage_id": name, "group_id": name.upper(), "text": f"text {name}"} for name in "abc"]
    table = pa.Table.from_pylist(passages, schema=PASSAGE_SCHEMA)
    pq.write_table(table, tmp_path / "passages.parquet", row_group_size=1)
    rows = read_rows(tmp_path, 1)
    assert [one["query"] for one in rows.stored] == ["0", "1", "2", "3", "4"]
    found = rows.passages.resolve(rows.stored[4])
    assert (found["positive"], found["negatives"], found["positive_groups"]) == ("text a", ["text c"], ["A", "B"])


def test_weights_are_relative_to_their_mean_over_all_rows(tmp_path):
    rows = read_rows(make_world(tmp_path / "world", rows=2, weights=(3, 1)).triplets, 4)
    assert rows.stored["weight"][:] == [1.5, 0.5]
    assert rows.passages.resolve(rows.stored[0])["weight"] == 1.5


def test_equal_weights_are_exactly_one(tmp_path):
    """In float32 the mean of 24 times 0.9 is rounded, and the weights would be 1.0000001."""
    rows = read_rows(make_world(tmp_path / "world", weights=[0.9] * 24).triplets, 4)
    assert rows.stored["weight"][:] == [1.0] * 24
