"""What of a user's labelled data is left out or refused."""

import json

import pytest

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.split.labelled import import_labelled
from tests.split.test_labelled import own, write_beir
from tests.support.context import context


def test_texts_without_words_are_left_out_and_said(tmp_path, config, progress):
    passages, queries, qrels = own(20)
    passages["p3"], queries["q5"] = "", " ?! "
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    report = import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    found = [read_retrieval_set(tmp_path / "dataset", split) for split in ("train", "dev", "test")]
    asked = {query.id for one in found for query in one.queries}
    assert asked == set(queries) - {"q3", "q5"}
    assert "p3" not in {record.id for record in found[0].corpus}
    assert [note for note in report.notes if "left out" in note] == [
        "1 passages without any word were left out: p3",
        "1 queries without any word were left out: q5",
        "2 judgements of texts without any word were left out",
    ]


def test_queries_that_repeat_their_passage_are_refused(tmp_path, config, progress):
    passages, _, qrels = own(20)
    queries = {f"q{i}": passages[f"p{i}"].upper() for i in range(20)}
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    with pytest.raises(InputError, match="same text as a passage"):
        import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))


def test_one_query_that_repeats_its_passage_is_noted(tmp_path, config, progress):
    passages, queries, qrels = own(20)
    queries["q4"] = passages["p4"]
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    report = import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    assert any("1 train queries have the same text" in note for note in report.notes)


def test_metadata_with_the_stages_names_and_other_types_changes_nothing(tmp_path, config, progress):
    passages, queries, qrels = own(12)
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    odd = {"heading": None, "path": 7, "n_words": "many", "boilerplate": "no", "hops": "two", "team": "a"}
    odd |= {"weight": 700, "unsure": [7]}
    for name, rows in (("corpus", passages), ("queries", queries)):
        lines = [json.dumps({"_id": i, "text": text, "metadata": odd}) for i, text in rows.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    found = read_retrieval_set(tmp_path / "dataset", "train")
    for record in found.corpus:
        assert record.metadata["heading"] == "" and record.metadata["path"] == record.id
        assert record.metadata["team"] == "a" and record.metadata["boilerplate"] is False
    assert {query.metadata["hops"] for query in found.queries} == {1}
    assert not {"weight", "unsure"} & {name for query in found.queries for name in query.metadata}


def test_queries_and_files_that_no_split_judges_are_said(tmp_path, config, progress):
    passages, queries, qrels = own(20)
    queries["q98"] = "who oils the winch?"
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    (folder / "qrels" / "eval.tsv").write_text("q98\tp3\t1\n", encoding="utf-8")
    report = import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    assert "not read, since the splits are train.tsv, dev.tsv, test.tsv: eval.tsv in qrels" in report.notes
    left = next(note for note in report.notes if "without a judgement" in note)
    assert left.endswith("q98")


def test_data_without_a_train_query_is_refused(tmp_path, config, progress):
    passages, queries, qrels = own(20)
    folder = write_beir(tmp_path / "own", {"train": {}, "test": qrels}, passages, queries)
    with pytest.raises(InputError, match="no train query"):
        import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
