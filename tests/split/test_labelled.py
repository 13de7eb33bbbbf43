"""Importing a user's own BEIR directory."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.artifacts import read_artifact
from embedtune.core.errors import GateError, InputError
from embedtune.core.retrieval.beir import Record, read_records, read_retrieval_set, write_qrels
from embedtune.core.retrieval.shingles import jaccard, shingles
from embedtune.split.held_out import hold_out
from embedtune.split.labelled import import_labelled
from tests.support.context import context

NUMBERS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


def spelled(number: int) -> str:
    return " ".join(NUMBERS[int(digit)] for digit in str(number))


def write_beir(folder: Path, qrels: dict[str, dict], passages: dict[str, str], queries: dict[str, str]) -> Path:
    folder.mkdir()
    for name, rows in (("corpus", passages), ("queries", queries)):
        lines = [json.dumps({"_id": i, "text": text}) for i, text in rows.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    for split, judged in qrels.items():
        write_qrels(folder / "qrels" / f"{split}.tsv", judged)
    return folder


def own(count: int = 40) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    passages = {
        f"p{i}": f"passage {spelled(i)} says that unit {spelled(100 + i)} is {spelled(200 + i)}"
        for i in range(count)
    }
    queries = {f"q{i}": f"tell me about {spelled(300 + i)} of {spelled(i)}" for i in range(count)}
    return passages, queries, {f"q{i}": {f"p{i}": 2} for i in range(count)}


def test_given_splits_and_ids_are_not_changed(tmp_path, config, progress):
    passages, queries, qrels = own(6)
    parts = {"train": dict(list(qrels.items())[:3]), "dev": {"q3": {"p3": 2}}, "test": {"q4": {"p4": 1}}}
    folder = write_beir(tmp_path / "own", parts, passages, queries)
    report = import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    read_artifact(tmp_path / "dataset", "dataset")
    for split, judged in parts.items():
        found = read_retrieval_set(tmp_path / "dataset", split)
        assert found.qrels == judged
        assert {query.metadata["split"] for query in found.queries} == {split}
    splits = {record.id: record.metadata["split"] for record in found.corpus}
    assert splits == {"p0": "train", "p1": "train", "p2": "train", "p3": "dev", "p4": "test", "p5": "train"}
    assert "q5" not in {query.id for query in read_records(tmp_path / "dataset" / "queries.jsonl")}
    assert not any("was not given" in note for note in report.notes)


def test_missing_splits_are_taken_from_train_and_noted(tmp_path, config, progress):
    passages, queries, qrels = own()
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    report = import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    sizes = {s: len(read_retrieval_set(tmp_path / "dataset", s).qrels) for s in ("train", "dev", "test")}
    assert sizes == {"train": 28, "dev": 4, "test": 8}  # 70, 10 and 20 % of 40
    assert report.notes[:2] == (
        "qrels/dev.tsv was not given: 4 of the train queries became dev",
        "qrels/test.tsv was not given: 8 of the train queries became test",
    )
    again = import_labelled(folder, tmp_path / "again", context(config, tmp_path / "cache", progress))
    assert again.metrics == report.metrics
    for name in ("queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / "dataset" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_near_duplicates_of_a_test_positive_are_not_in_the_mining_corpus(tmp_path, config, progress):
    passages, queries, qrels = own(6)
    long = " ".join(spelled(1000 + i) for i in range(15))
    passages |= {"p5": long, "copy": long + " and more"}
    parts = {"train": dict(list(qrels.items())[:4]), "dev": {"q4": {"p4": 1}}, "test": {"q5": {"p5": 1}}}
    folder = write_beir(tmp_path / "own", parts, passages, queries)
    import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    corpus = {record.id: record.metadata for record in read_records(tmp_path / "dataset" / "corpus.jsonl")}
    assert corpus["copy"]["group_id"] == corpus["p5"]["group_id"] == "copy"
    assert corpus["copy"]["split"] == "test"
    assert corpus["copy"]["family_id"] == corpus["p5"]["family_id"] != corpus["p4"]["family_id"]


def test_a_leak_between_given_splits_is_an_error_that_names_a_fix(tmp_path, config, progress):
    passages, queries, qrels = own(6)
    folder = write_beir(tmp_path / "own", {"train": qrels, "test": {"q5": {"p5": 1}}}, passages, queries)
    with pytest.raises(GateError, match="taken from the train queries"):
        import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))


def test_it_is_skipped_until_a_file_changes(tmp_path, config, progress):
    passages, queries, qrels = own()
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    manifest = tmp_path / "dataset" / "manifest.json"
    written = manifest.stat().st_mtime_ns
    import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    assert manifest.stat().st_mtime_ns == written
    qrels.pop("q0")
    write_qrels(folder / "qrels" / "train.tsv", qrels)
    import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    assert manifest.stat().st_mtime_ns != written


def test_train_judgements_are_required(tmp_path, config, progress):
    passages, queries, qrels = own(4)
    folder = write_beir(tmp_path / "own", {"test": qrels}, passages, queries)
    with pytest.raises(InputError, match=r"train\.tsv"):
        import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))


@pytest.mark.parametrize(
    ("judged", "what"), [({"ghost": {"p0": 1}}, "queries"), ({"q0": {"ghost": 1}}, "passages")]
)
def test_judgements_of_unknown_queries_and_passages_are_refused(tmp_path, config, progress, judged, what):
    passages, queries, _ = own(4)
    folder = write_beir(tmp_path / "own", {"train": judged}, passages, queries)
    with pytest.raises(InputError, match=f"judges {what} that are not in"):
        import_labelled(folder, tmp_path / "dataset", context(config, tmp_path / "cache", progress))


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 25), min_size=30, max_size=30),
    links=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=12),
    texts=st.lists(st.integers(0, 40), min_size=30, max_size=30),
    seed=st.integers(0, 99),
)
def test_held_out_queries_share_no_group_and_no_question_with_other_splits(groups, links, texts, seed):
    group_of = {f"p{i}": f"g{group}" for i, group in enumerate(groups)}
    queries = [Record(f"q{i}", f"tell me about {spelled(500 + text)}") for i, text in enumerate(texts)]
    qrels = {f"q{i}": {f"p{i}": 1} for i in range(30)}
    for query, passage in links:
        qrels[f"q{query}"][f"p{passage}"] = 1
    shares = {"dev": 0.1, "test": 0.2}
    found = hold_out(queries, qrels, group_of, shares, query_jaccard=0.9, seed=seed)
    assert sorted(query for judged in found.values() for query in judged) == sorted(qrels)
    assert len(found["dev"]) <= 3
    assert len(found["test"]) <= 6
    text_of = {query.id: shingles(query.text, 3) for query in queries}
    splits = list(found)
    for a, b in ((a, b) for a in splits for b in splits if a < b):
        left, right = ({group_of[p] for judged in found[s].values() for p in judged} for s in (a, b))
        assert left.isdisjoint(right)
        assert all(jaccard(text_of[x], text_of[y]) < 0.9 for x in found[a] for y in found[b])
