"""The stage on small tables like those that ingest and generate write."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.artifacts import read_artifact, write_artifact
from embedtune.core.errors import ContractError, GateError
from embedtune.core.records.base import read_record
from embedtune.core.records.split import SPLIT_FILE, SplitProofs
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.split import stage
from embedtune.split.stage import build
from tests.support.context import context, provenance

SPLIT_OF = {"a": "train", "b": "dev", "c": "test"}
Row = dict[str, Any]


def chunk_id(heading: str, text: str) -> str:
    return hashlib.sha256(f"{heading}\n{text}".strip().encode()).hexdigest()[:16]


def chunk(doc: str, text: str, position: int = 0, **changes: object) -> Row:
    name = chunk_id("Top > Part", text)
    row = {"chunk_id": name, "doc_id": doc, "text": text, "heading_path": ["Top", "Part"], "position": position}
    row |= {
        "n_words": len(text.split()),
        "group_id": name,
        "family": doc,
        "split": SPLIT_OF[doc],
        "boilerplate": False,
    }
    return {**row, **changes}


def question(text: str, chunks: list[Row], split: str, **changes: object) -> Row:
    row = {"question_id": hashlib.sha256(text.encode()).hexdigest()[:16], "question": text, "split": split}
    row |= {"chunk_ids": [c["chunk_id"] for c in chunks], "hops": len(chunks), "answer": "yes", "overall": 8.0}
    row |= {"answer_ids": row["chunk_ids"], "unsure_ids": []}
    row |= {"query_type": "structural", "reasoning_type": "factual", "complexity": 2, "style": "question"}
    row |= {"base_rank": 1, "bm25_rank": 2, "generator": "g", "judge": "j"}
    return {**row, **changes}


CHUNKS = [
    chunk("a", "the red pump runs hot"),
    chunk("a", "the blue valve leaks brine", 1),
    chunk("b", "hoist chains are oiled weekly"),
    chunk("c", "kiln doors close at dusk"),
]
QUESTIONS = [
    question("why is it hot", [CHUNKS[0]], "train"),
    question("what links pump and valve", CHUNKS[:2], "train"),
    question("when do we oil", [CHUNKS[2]], "dev"),
    question("when does the door close", [CHUNKS[3]], "test"),
]
DOCUMENTS = [{"doc_id": doc, "path": f"{doc}.md", "metadata": [("Priority", "high")]} for doc in SPLIT_OF]


def write_inputs(folder: Path, chunks: list[Row] = CHUNKS, questions: list[Row] = QUESTIONS) -> tuple[Path, Path]:
    with write_artifact(folder / "chunks", "chunks", provenance()) as draft:
        pq.write_table(pa.Table.from_pylist(DOCUMENTS), draft.path / "documents.parquet")
        pq.write_table(pa.Table.from_pylist(chunks), draft.path / "chunks.parquet")
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), draft.path / "skipped.parquet")
    with write_artifact(folder / "questions", "questions", provenance()) as draft:
        pq.write_table(pa.Table.from_pylist(questions), draft.path / "questions.parquet")
        pq.write_table(pa.table({"reason": pa.array([], pa.string())}), draft.path / "rejected.parquet")
    return folder / "chunks", folder / "questions"


def test_it_writes_the_beir_layout_and_the_proofs(tmp_path, config, progress):
    report = stage.run(
        *write_inputs(tmp_path), tmp_path / "dataset", context(config, tmp_path / "cache", progress)
    )
    artifact = read_artifact(tmp_path / "dataset", "dataset")
    train = read_retrieval_set(tmp_path / "dataset", "train")
    assert [query.text for query in train.queries] == ["why is it hot", "what links pump and valve"]
    assert train.qrels[QUESTIONS[1]["question_id"]] == {CHUNKS[0]["chunk_id"]: 1, CHUNKS[1]["chunk_id"]: 1}
    assert len(train.corpus) == 4
    assert train.corpus[0].text == "Top > Part\nthe red pump runs hot"
    assert train.corpus[0].metadata == {
        "doc_id": "a",
        "path": "a.md",
        "heading": "Top > Part",
        "group_id": CHUNKS[0]["chunk_id"],
        "family_id": CHUNKS[0]["doc_id"],
        "split": "train",
        "boilerplate": False,
        "n_words": 5,
        "document": {"Priority": "high"},
    }
    assert read_retrieval_set(tmp_path / "dataset", "test").queries[0].metadata["style"] == "question"
    record = read_record(tmp_path / "dataset" / SPLIT_FILE, SplitProofs)
    assert len(record.proofs) == 7
    assert all(proof.violations == 0 for proof in record.proofs)
    assert record.counts == artifact.manifest.counts
    assert record.counts["train_queries"] == 2
    assert record.counts["train_passages"] == 2
    assert report.metrics["test_judgements"] == 1


def test_small_splits_are_a_warning(tmp_path, config, progress):
    report = stage.run(
        *write_inputs(tmp_path), tmp_path / "dataset", context(config, tmp_path / "cache", progress)
    )
    assert report.notes == (
        "too few train queries (2; split.min_train_queries is 100): training may change little",
        "too few test queries (1; split.min_test_queries is 50): confidence intervals will be wide",
    )


def test_all_passages_for_which_a_question_was_written_answer_it(tmp_path, config, progress):
    train = next(row for row in QUESTIONS if row["split"] == "train")
    other = next(
        c["chunk_id"] for c in CHUNKS if c["split"] == "train" and c["chunk_id"] not in train["chunk_ids"]
    )
    both = {**train, "answer_ids": [*train["chunk_ids"], other], "unsure_ids": ["similar"]}
    questions = [both if row is train else row for row in QUESTIONS]
    inputs = write_inputs(tmp_path, questions=questions)
    stage.run(*inputs, tmp_path / "dataset", context(config, tmp_path / "cache", progress))
    dataset = read_retrieval_set(tmp_path / "dataset", "train")
    assert dataset.qrels[train["question_id"]] == dict.fromkeys([*train["chunk_ids"], other], 1)
    (query,) = [query for query in dataset.queries if query.id == train["question_id"]]
    assert query.metadata["unsure"] == ["similar"]


def test_an_empty_dev_split_is_a_warning(tmp_path, config, progress):
    questions = [row for row in QUESTIONS if row["split"] != "dev"]
    report = stage.run(
        *write_inputs(tmp_path, questions=questions),
        tmp_path / "dataset",
        context(config, tmp_path / "cache", progress),
    )
    assert "no dev queries: the best checkpoint cannot be chosen" in report.notes


def test_it_is_skipped_when_nothing_changed(tmp_path, config, progress):
    inputs = write_inputs(tmp_path)
    first = stage.run(*inputs, tmp_path / "dataset", context(config, tmp_path, progress))
    written = (tmp_path / "dataset" / "manifest.json").stat().st_mtime_ns
    assert stage.run(*inputs, tmp_path / "dataset", context(config, tmp_path, progress)).metrics == first.metrics
    assert (tmp_path / "dataset" / "manifest.json").stat().st_mtime_ns == written


def test_a_leak_leaves_no_dataset_behind(tmp_path, config, progress):
    questions = [*QUESTIONS, question("a question of train", [CHUNKS[3]], "train")]
    inputs = write_inputs(tmp_path, questions=questions)
    with pytest.raises(GateError, match="no dev or test positive is a train positive"):
        stage.run(*inputs, tmp_path / "dataset", context(config, tmp_path, progress))
    assert not (tmp_path / "dataset").exists()


def test_a_dataset_without_train_queries_is_refused(tmp_path, config, progress):
    inputs = write_inputs(tmp_path, questions=QUESTIONS[2:])
    with pytest.raises(GateError, match="no train queries"):
        stage.run(*inputs, tmp_path / "dataset", context(config, tmp_path, progress))


def test_chunks_of_another_passage_template_are_refused(config):
    contract = config.contract.model_copy(update={"passage_template": "{text}"})
    with pytest.raises(ContractError, match="a different passage template"):
        build(DOCUMENTS, CHUNKS, QUESTIONS, contract)


def test_passages_carry_the_metadata_of_their_documents(config):
    dataset = build(DOCUMENTS, CHUNKS, QUESTIONS, config.contract)
    assert {str(record.metadata["document"]) for record in dataset.corpus} == {"{'Priority': 'high'}"}
    without = build([{**row, "metadata": []} for row in DOCUMENTS], CHUNKS, QUESTIONS, config.contract)
    assert not any("document" in record.metadata for record in without.corpus)


def test_a_chunk_in_several_documents_is_one_passage_that_train_may_see(config):
    notice = "all rights reserved"
    chunks = [chunk("c", notice, boilerplate=True), *CHUNKS, chunk("a", notice, 2, boilerplate=True)]
    dataset = build(DOCUMENTS, chunks, QUESTIONS, config.contract)
    found = [record for record in dataset.corpus if notice in record.text]
    assert len(found) == 1
    assert found[0].metadata["split"] == "train"
    assert len(dataset.corpus) == 5
