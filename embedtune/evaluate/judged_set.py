"""The BEIR directory of a set of people's questions: passages of a chunks artifact, questions and judgements."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import JsonValue

from embedtune.core.artifacts import Artifact
from embedtune.core.retrieval.beir import Qrels, Record, write_qrels, write_records
from embedtune.core.retrieval.hub_card import write_hub_card
from embedtune.core.retrieval.passage_groups import GROUP
from embedtune.core.retrieval.quoted_answers import Document, normal

SPLIT = "test"


def document_groups(corpus: list[Record], documents: dict[str, Document]) -> list[Record]:
    """Return the passages with their document as their group, so that rankings are read by document.

    Documents whose passages are all near-duplicates of each other's count as one, as near-duplicate passages do.
    """
    groups = {record.id: record.metadata[GROUP] for record in corpus}
    first: dict[frozenset[JsonValue], str] = {}
    label = {
        path: first.setdefault(frozenset(groups[one] for one in document.chunk_ids), path)
        for path, document in sorted(documents.items())
    }
    return [
        replace(record, metadata={**record.metadata, GROUP: label[str(record.metadata["path"])]})
        for record in corpus
    ]


def read_passages(artifact: Artifact) -> tuple[list[Record], dict[str, Document]]:
    """Return each passage once, in the order of first occurrence, and the documents by path."""
    contract = artifact.manifest.contract
    table = pq.read_table(artifact.path / "documents.parquet", columns=["doc_id", "path", "metadata"])
    rows = {row["doc_id"]: row for row in table.to_pylist()}
    corpus: dict[str, Record] = {}
    documents: dict[str, Document] = {row["path"]: Document(row["doc_id"]) for row in rows.values()}
    for row in pq.read_table(artifact.path / "chunks.parquet").to_pylist():
        path, said = rows[row["doc_id"]]["path"], rows[row["doc_id"]]["metadata"]
        document = documents[path]
        document.chunk_ids.append(row["chunk_id"])
        document.texts.append(normal(row["text"]))
        metadata = {
            "doc_id": row["doc_id"],
            "path": path,
            "heading": row["heading_path"],
            "group_id": row["group_id"],
            "family_id": row["family"],
            "split": row["split"],
            "boilerplate": row["boilerplate"],
            "n_words": row["n_words"],
        }
        if said:
            metadata["document"] = dict(said)
        text = contract.render_passage(row["heading_path"], row["text"])
        if row["chunk_id"] not in corpus:
            corpus[row["chunk_id"]] = Record(row["chunk_id"], text, metadata)
            document.own.append(row["chunk_id"])
    return list(corpus.values()), documents


def write_set(output: Path, corpus: list[Record], questions: Mapping[str, str], qrels: Qrels) -> None:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv.

    Args:
        output: Directory to write to.
        corpus: The passages; their metadata has split.
        questions: Texts of the questions, by id.
        qrels: Their judgements.
    """
    split_of = {record.id: str(record.metadata["split"]) for record in corpus}
    queries = []
    for name, text in questions.items():
        splits = {split_of[chunk_id] for chunk_id in qrels[name]}
        # Training saw other questions about a train document, so results on these are reported separately.
        answered_in = splits.pop() if len(splits) == 1 else "several"
        queries.append(Record(name, text, {"split": SPLIT, "answered_in": answered_in}))
    output.mkdir(parents=True, exist_ok=True)
    write_records(output / "corpus.jsonl", corpus)
    write_records(output / "queries.jsonl", queries)
    write_qrels(output / "qrels" / f"{SPLIT}.tsv", qrels)
    write_hub_card(output, {SPLIT: qrels})
