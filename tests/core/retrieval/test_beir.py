"""The BEIR layout, read and written."""

import json

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


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"_id": "1", "text": null}', "text is null"),
        ('{"_id": "1", "contents": "a"}', 'there is no "text", only _id, contents'),
        ('{"_id": "1", "text": ["a", "b"]}', "text is not a string"),
        ('{"_id": "1", "title": ["a"], "text": "b"}', "title is not a string"),
        ('{"_id": null, "text": "a"}', "_id is not a string"),
        ('{"query_id": "1", "query": "a"}', 'there is no "_id", only query_id, query'),
        (
            '{"_id": "1", "text": "a"}{"_id": "2", "text": "b"}',
            r"several JSON objects on one line \(.* column 26\)",
        ),
        ('{"_id": "a\\tb", "text": "a"}', "tab or a line break"),
        (r'{"_id": "1", "text": "half \ud83d"}', "surrogate"),
    ],
)
def test_a_value_of_another_type_is_refused_never_read_as_its_name(tmp_path, line, reason):
    (tmp_path / "queries.jsonl").write_text(f'{{"_id": "0", "text": "fine"}}\n{line}\n')
    with pytest.raises(InputError, match=f"queries.jsonl:2 .*{reason}"):
        read_records(tmp_path / "queries.jsonl")


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('\ufeff{"_id": "0", "title": null, "text": "a"}\n', encoding="utf-8")
    assert read_records(tmp_path / "corpus.jsonl") == [Record("0", "a")]
    (tmp_path / "test.tsv").write_text("\ufeffquery-id\tcorpus-id\tscore\nq1\td1\t1\n", encoding="utf-8")
    assert read_qrels(tmp_path / "test.tsv") == {"q1": {"d1": 1}}


@pytest.mark.parametrize(("name", "read"), [("corpus.jsonl", read_records), ("test.tsv", read_qrels)])
def test_another_encoding_is_refused_with_its_line(tmp_path, name, read):
    lines = ['{"_id": "0", "text": "x"}', '{"_id": "1", "text": "größe"}']
    text = "\n".join(lines if name == "corpus.jsonl" else ["q\td\t1", "ü\td\t1"])
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    with pytest.raises(InputError, match=rf"{name}:2 is not UTF-8"):
        read(tmp_path / name)


def test_utf_16_is_named_in_the_command_that_converts_it(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "0", "text": "x"}\n', encoding="utf-16")
    with pytest.raises(InputError, match="iconv -f UTF-16 "):
        read_records(tmp_path / "corpus.jsonl")


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_other_names_of_dev_are_read(tmp_path, name):
    (tmp_path / f"{name}.tsv").write_text("q\td\t1\n", encoding="utf-8")
    assert read_qrels(tmp_path / "dev.tsv") == {"q": {"d": 1}}


@pytest.mark.parametrize("given", ["from the wiki", ["a"], 7])
def test_metadata_that_is_no_object_is_kept_under_a_name(tmp_path, given):
    line = json.dumps({"_id": "0", "text": "a", "metadata": given})
    (tmp_path / "corpus.jsonl").write_text(line)
    assert read_records(tmp_path / "corpus.jsonl") == [Record("0", "a", {"metadata": given})]


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t1.0\nq1\td2\t0.0\n",
        "query_id\tcorpus_id\tscore\r\nq1\td1\t1\r\n",
        "qid\titer\tdocid\trel\nq1\t0\td1\t1\n",
        "q1 0 d1 1\nq1 Q0 d2 -1\n",
        "q1\td1\t1",
        '"q1"\t"d1"\t1\n',
    ],
)
def test_judgements_of_other_tools_are_read(tmp_path, text):
    (tmp_path / "test.tsv").write_text(text)
    assert read_qrels(tmp_path / "test.tsv") == {"q1": {"d1": 1}}


def test_a_quotation_mark_that_is_never_closed_hides_no_other_row(tmp_path):
    (tmp_path / "test.tsv").write_text('q1\t"5 inch\t1\nq2\td2\t1\n')
    assert read_qrels(tmp_path / "test.tsv") == {"q1": {'"5 inch': 1}, "q2": {"d2": 1}}


@pytest.mark.parametrize(
    "row", ["q2\td2\t0.5", "q2\td2", "q2\td2\thigh", "q2\td2\tnan", "a\tb\tc\td\t1", "q2\t\t1", "\td2\t1"]
)
def test_a_row_that_is_no_judgement_is_named(tmp_path, row):
    (tmp_path / "test.tsv").write_text(f"q1\td1\t1\n{row}\n")
    with pytest.raises(InputError, match=r"test.tsv:2"):
        read_qrels(tmp_path / "test.tsv")
