"""Stage split: build the dataset from chunks and questions, prove that nothing leaks, write the BEIR layout."""

import hashlib
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet as pq
from pydantic import JsonValue

from embedtune.core.artifacts import Artifact, StageReport
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError, GateError
from embedtune.core.records.questions import QuestionRow
from embedtune.core.retrieval.beir import SPLITS, Qrels, Record
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.split.dataset import Dataset, warnings, write_dataset
from embedtune.split.human_pairs import HumanSource, add_human_pairs, human_inputs, human_sources
from embedtune.split.proofs import Limits, prove

FIX = (
    "run ingest and generate again with a lower ingest.near_duplicate_jaccard or "
    "ingest.near_duplicate_containment, so that such documents are put into one split"
)


class DocumentRow(TypedDict):
    """The columns of documents.parquet that split reads."""

    doc_id: str
    path: str
    metadata: list[tuple[str, str]]


class ChunkRow(TypedDict):
    """The columns of chunks.parquet that split reads."""

    chunk_id: str
    doc_id: str
    text: str
    heading_path: list[str]
    n_words: int
    group_id: str
    family: str
    split: str
    boilerplate: bool


def run(chunks: Path, questions: Path, output: Path, context: Context) -> StageReport:
    """Build and check the dataset.

    Ingest has assigned each document to a split; a question belongs to the split of its chunks.

    Args:
        chunks: The chunks artifact.
        questions: The questions artifact.
        output: Directory to write the dataset artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        ContractError: The chunks were rendered with a different passage template.
        InputError: Questions of people (split.human_pairs) cannot be read.
        GateError: Something leaks between splits, or there are no train queries.
    """
    this = StageRun("split", output, context)
    inputs = this.read(chunks=chunks, questions=questions)
    sources = human_sources(context)
    made_from: dict[str, Artifact | str] = {**inputs, **human_inputs(sources)}
    return this.write(made_from, lambda path: _split(chunks, questions, sources, path, context))


def _split(chunks: Path, questions: Path, sources: list[HumanSource], path: Path, context: Context) -> Outcome:
    config = context.config
    with context.progress.task("split", 3, "steps") as task:
        dataset = build(
            pq.read_table(chunks / "documents.parquet", columns=list(DocumentRow.__annotations__)).to_pylist(),
            pq.read_table(chunks / "chunks.parquet", columns=list(ChunkRow.__annotations__)).to_pylist(),
            pq.read_table(questions / "questions.parquet").to_pylist(),
            config.contract,
        )
        dataset, notes = add_human_pairs(
            dataset, sources, _unasked(chunks) if sources else set(), config.split.duplicate_similarity
        )
        task.advance()
        proofs = prove(dataset, Limits.of(config.ingest, config.split), FIX)
        if not dataset.qrels["train"]:
            raise GateError("there are no train queries", fix="generate more questions, or add documents")
        task.advance()
        outcome = write_dataset(path, dataset, proofs, notes + warnings(dataset, config.split))
        task.advance()
    return outcome


def _unasked(chunks: Path) -> set[str]:
    """Return the passages about which ingest forbids questions."""
    table = pq.read_table(chunks / "chunks.parquet", columns=["chunk_id", "boilerplate", "border"])
    return {row["chunk_id"] for row in table.to_pylist() if row["boilerplate"] or row["border"]}


def build(
    documents: list[DocumentRow], chunks: list[ChunkRow], questions: list[QuestionRow], contract: EncoderContract
) -> Dataset:
    """Turn the tables of ingest and generate into a dataset.

    Args:
        documents: Rows of documents.parquet.
        chunks: Rows of chunks.parquet, one per occurrence.
        questions: Rows of questions.parquet.
        contract: Renders the passages.

    Raises:
        ContractError: The chunks were rendered with a different passage template.
    """
    splits: dict[str, set[str]] = {}
    first: dict[str, ChunkRow] = {}
    for row in chunks:
        splits.setdefault(row["chunk_id"], set()).add(row["split"])
        first.setdefault(row["chunk_id"], row)
    # Boilerplate may occur in several splits; it belongs to train if train sees it anyway.
    split_of = {chunk_id: min(found, key=SPLITS.index) for chunk_id, found in splits.items()}
    document_of = {row["doc_id"]: row for row in documents}
    corpus = [
        _passage(row, document_of[row["doc_id"]], split_of[chunk_id], contract) for chunk_id, row in first.items()
    ]
    qrels: dict[str, Qrels] = {split: {} for split in SPLITS}
    for question in questions:
        qrels[question["split"]][question["question_id"]] = dict.fromkeys(question["answer_ids"], 1)
    queries = [_query(question) for question in questions]
    return Dataset(corpus, queries, qrels, {chunk_id: row["text"] for chunk_id, row in first.items()})


def _passage(row: ChunkRow, document: DocumentRow, split: str, contract: EncoderContract) -> Record:
    text = contract.render_passage(row["heading_path"], row["text"])
    chunk_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    if chunk_id != row["chunk_id"]:
        raise ContractError(
            "the chunks were rendered with a different passage template",
            got=chunk_id,
            expected=row["chunk_id"],
            fix="run ingest again",
        )
    metadata: dict[str, JsonValue] = {
        "doc_id": row["doc_id"],
        "path": document["path"],
        "group_id": row["group_id"],
        "family_id": row["family"],
        "split": split,
        "boilerplate": row["boilerplate"],
        "n_words": row["n_words"],
        "heading": " > ".join(row["heading_path"]),
    }
    if document["metadata"]:
        metadata["document"] = dict(document["metadata"])
    return Record(chunk_id, text, metadata)


def _query(row: QuestionRow) -> Record:
    metadata: dict[str, JsonValue] = {
        "split": row["split"],
        "hops": row["hops"],
        "unsure": list(row["unsure_ids"]),
        "query_type": row["query_type"],
        "reasoning_type": row["reasoning_type"],
        "complexity": row["complexity"],
        "style": row["style"],
        "overall": row["overall"],
        "answer": row["answer"],
        "base_rank": row["base_rank"],
        "bm25_rank": row["bm25_rank"],
        "generator": row["generator"],
        "judge": row["judge"],
    }
    return Record(row["question_id"], row["question"], metadata)
