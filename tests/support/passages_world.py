"""Passages, questions and a chunks artifact for the tests of generate."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings
from embedtune.core.config.load import parse_config
from embedtune.core.contract import EncoderContract
from embedtune.generate.passages import Passage
from embedtune.generate.questions import Question
from embedtune.generate.questions_to_ask import QuestionSlot
from tests.support.context import provenance
from tests.support.tiny_model import TINY_DIMENSION

SETTINGS = GenerateSettings()
PARTS = ("press", "kiln", "drum", "valve", "pump", "seal", "hoist", "chain", "cutter", "belt")
NOT_SPECIAL = {"boilerplate": False, "border": False}
WORK = ("open", "close", "wash", "grease", "replace", "measure")


def passage(
    number: int, split: str = "train", doc: str = "", group: str = "", boilerplate: bool = False
) -> Passage:
    part, work = PARTS[number % len(PARTS)], WORK[number // len(PARTS) % len(WORK)]
    text = f"Guide > {part} {number}\nTo {work} the {part} wait {number + 3} minutes and set {number * 7 + 2} bar."
    chunk_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Passage(chunk_id, doc or f"doc{number // 4}", text, group or chunk_id, split, boilerplate)


def passages(count: int, splits: Sequence[str] = ("train", "dev", "test")) -> list[Passage]:
    """Return passages sorted by id, four per document; the documents take turns in the splits."""
    found = [passage(number, splits[number // 4 % len(splits)]) for number in range(count)]
    return sorted(found, key=lambda one: one.chunk_id)


def question(text: str = "how hot may the kiln be", **changes: object) -> Question:
    start = Question(
        question_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        question=text,
        answer="80 degrees",
        chunk_ids=("a",),
        hop_facts=(),
        slot=QuestionSlot("question", "structural", "factual", 2),
        split="train",
        generator="g",
        judge="j",
        scores=(9, 9, 9, 9),
    )
    return replace(start, **changes)  # type: ignore[arg-type]


def small_config(base: Path, **generate: object) -> Config:
    contract = {"base_model": str(base), "dimensions": [TINY_DIMENSION], "max_length": 64}
    settings = {
        "questions_per_chunk": 2,
        "bundles_per_chunk": 0.5,
        "duplicate_similarity": 1.0,  # to an untrained model, all questions are alike
        "llm": {"model": "test", "concurrency": 4, "retries": 0},
        **generate,
    }
    shares = {"train_share": 1.0, "dev_share": 0.0, "test_share": 0.0}  # the tests' passages name their splits
    return parse_config(
        {"contract": contract, "ingest": shares, "generate": settings, "runtime": {"device": "cpu"}}
    )


def write_chunks(folder: Path, rows: Sequence[tuple[str, str, str]], contract: EncoderContract) -> Path:
    """Write a chunks artifact and return its directory.

    Args:
        folder: Directory to write the artifact to.
        rows: Document, split and text of each chunk.
        contract: Renders the strings that the ids hash.
    """
    table = []
    for position, (doc_id, split, text) in enumerate(rows):
        chunk_id = hashlib.sha256(contract.render_passage([doc_id], text).encode()).hexdigest()[:16]
        row = {"chunk_id": chunk_id, "doc_id": doc_id, "text": text, "heading_path": [doc_id]}
        table.append({**row, "position": position, "group_id": chunk_id, "split": split, **NOT_SPECIAL})
    with write_artifact(folder, "chunks", provenance()) as draft:
        pq.write_table(pa.Table.from_pylist(table), draft.path / "chunks.parquet")
        ids = sorted({doc_id for doc_id, _, _ in rows})
        documents = pa.table({"doc_id": ids, "path": [f"{name}.md" for name in ids]})
        pq.write_table(documents, draft.path / "documents.parquet")
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), draft.path / "skipped.parquet")
    return folder
