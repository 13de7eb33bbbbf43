"""A dataset for other tools: read back with the calls that mteb's loader makes."""

import pytest
from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset

from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.core.retrieval.hub_card import write_hub_card

QRELS = {"train": {"q1": {"p1": 1, "p2": 1}}, "dev": {}, "test": {"q2": {"p2": 1}}}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "dataset"
    (path / "qrels").mkdir(parents=True)
    write_records(path / "corpus.jsonl", [Record("p1", "Die Pumpe läuft."), Record("p2", "Oil.")])
    write_records(path / "queries.jsonl", [Record("q1", "pump?"), Record("q2", "oil?")])
    for split, rows in QRELS.items():
        write_qrels(path / "qrels" / f"{split}.tsv", rows)
    write_hub_card(path, QRELS)
    return path


def rows(folder, config, split):
    return load_dataset(str(folder), config, split=split, cache_dir=str(folder.parent / "cache")).to_list()


def test_the_parts_are_named_as_mteb_expects(folder):
    assert sorted(get_dataset_config_names(str(folder))) == ["corpus", "default", "queries"]
    assert get_dataset_split_names(str(folder), config_name="default") == ["train", "test"]  # dev is empty


def test_passages_questions_and_judgements_are_read(folder):
    assert [(row["_id"], row["text"]) for row in rows(folder, "corpus", "corpus")] == [
        ("p1", "Die Pumpe läuft."),
        ("p2", "Oil."),
    ]
    assert [row["_id"] for row in rows(folder, "queries", "queries")] == ["q1", "q2"]
    assert rows(folder, "default", "train") == [
        {"query-id": "q1", "corpus-id": "p1", "score": 1},
        {"query-id": "q1", "corpus-id": "p2", "score": 1},
    ]
    assert rows(folder, "default", "test") == [{"query-id": "q2", "corpus-id": "p2", "score": 1}]
