"""A work directory with questions, kept and rejected, to read and to decide about."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport, write_artifact
from embedtune.core.retrieval.beir import Record, write_records
from embedtune.generate.questions import Question, write_tables
from tests.support.context import provenance
from tests.support.passages_world import question

SPLITS = ("test", "dev", "train")


def passage_of(split: str) -> str:
    return f"passage-{split}"


def asked(split: str, number: int, text: str = "", **changes: object) -> Question:
    """Return a question of a split, about the passage of that split."""
    return question(
        f"{text}why does the {split} kiln say {number}?",
        question_id=f"{split}-{number}",
        answer=f"because of {number}",
        chunk_ids=(passage_of(split),),
        split=split,
        base_rank=number + 1,
        bm25_rank=2,
        **changes,
    )


def make_questions_work(work: Path, *, test: int = 3, text: str = "", passages: Sequence[str] = SPLITS) -> Path:
    """Write chunks, questions and dataset: `test` kept test questions, one of dev and train, and two rejected.

    Args:
        work: The work directory.
        test: Number of kept test questions.
        text: Put in front of every question, passage and path.
        passages: The splits whose passage is among the chunks.
    """
    questions = [
        *(asked("test", number, text) for number in range(test)),
        asked("dev", 0, text),
        asked("train", 0, text),
        asked("train", 1, text, reason="min_clarity", scores=(9, 9, 2, 9)),
        asked("test", 99, text, reason="min_accuracy", scores=(9, 3, 9, 9)),
        question("", answer="", question_id="nothing", chunk_ids=("passage-dev",), reason="nothing_to_ask"),
    ]
    with write_artifact(work / "questions", "questions", provenance()) as draft:
        write_tables(draft.path, questions)
        draft.report = StageReport("generate", {"generator": "writer", "judge": "judge"})
    chunks = [
        {
            "chunk_id": passage_of(split),
            "doc_id": split,
            "heading_path": [split, "Kiln"],
            "text": f"{text}About {split}.",
        }
        for split in passages
    ]
    with write_artifact(work / "chunks", "chunks", provenance()) as draft:
        pq.write_table(pa.Table.from_pylist(chunks), draft.path / "chunks.parquet")
        documents = [{"doc_id": split, "path": f"{text}{split}.md"} for split in SPLITS]
        pq.write_table(pa.Table.from_pylist(documents), draft.path / "documents.parquet")
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), draft.path / "skipped.parquet")
    with write_artifact(work / "dataset", "dataset", provenance()) as draft:
        corpus = [Record(passage_of(split), f"About {split}.", {"family_id": split}) for split in SPLITS]
        write_records(draft.path / "corpus.jsonl", corpus)
        (draft.path / "qrels").mkdir()
        for name in ("queries.jsonl", "split.json", "qrels/train.tsv", "qrels/dev.tsv", "qrels/test.tsv"):
            (draft.path / name).write_text("")
    return work
