"""The BEIR layout, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import (
    Record,
    read_qrels,
    read_records,
    read_retrieval_set,
    write_qrels,
    write_records,
)

TEXT = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)


@given(texts=st.lists(TEXT, max_size=5))
def test_records_survive_a_round_trip(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("beir") / "corpus.jsonl"
    records = [Record(str(i), text, {"split": "train"}) for i, text in enumerate(texts)]
    write_records(path, records)
    assert read_records(path) == records


def test_a_title_of_somebody_elses_set_is_put_before_the_text(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": 7, "title": "Pump", "text": "It leaks."}\n')
    assert read_records(tmp_path / "corpus.jsonl") == [Record("7", "Pump It leaks.", {})]


def test_qrels_survive_a_round_trip_and_zeroes_are_not_relevant(tmp_path):
    write_qrels(tmp_path / "qrels" / "test.tsv", {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 2}})
    text = (tmp_path / "qrels" / "test.tsv").read_text()
    assert text.startswith("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    assert read_qrels(tmp_path / "qrels" / "test.tsv") == {"q1": {"d1": 1}, "q2": {"d3": 2}}


@pytest.mark.parametrize("line", ["not json", '{"text": "no id"}', "[1]", '{"_id": "1"}'])
def test_a_wrong_line_is_named(tmp_path, line):
    (tmp_path / "corpus.jsonl").write_text(f'{{"_id": "0", "text": "fine"}}\n{line}\n')
    with pytest.raises(InputError, match=r"corpus.jsonl:2"):
        read_records(tmp_path / "corpus.jsonl")


def test_a_repeated_id_is_refused(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "0", "text": "a"}\n{"_id": "0", "text": "b"}\n')
    with pytest.raises(InputError, match="repeats an id"):
        read_records(tmp_path / "corpus.jsonl")


@pytest.mark.parametrize("qrels", [{"q9": {"d1": 1}}, {"q1": {"d9": 1}}])
def test_a_judgement_of_something_unknown_is_refused(tmp_path, qrels):
    write_records(tmp_path / "corpus.jsonl", [Record("d1", "a")])
    write_records(tmp_path / "queries.jsonl", [Record("q1", "b")])
    write_qrels(tmp_path / "qrels" / "test.tsv", qrels)
    with pytest.raises(InputError, match="unknown"):
        read_retrieval_set(tmp_path, "test")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"corpus.jsonl"):
        read_retrieval_set(tmp_path, "test")
