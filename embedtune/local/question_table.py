"""The questions of a work directory, kept and rejected, as one table: for the page, as CSV and as JSON lines."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import pyarrow.parquet as pq

from embedtune.core.artifacts import Artifact, read_artifact
from embedtune.core.records.questions import RejectedRow
from embedtune.core.records.rejections import Rejection, rejection_code, rejection_text
from embedtune.core.records.reviews import Review
from embedtune.report.questions_page import PassageShown, QuestionShown, QuestionsPage, ReasonShown

ASPECTS = ("relevance", "accuracy", "clarity", "context_support")
FOR_REASON = 20  # rejected questions on the page, for each reason
EXAMPLES = 2  # of each reason, in the list of reasons
SPLITS = ("test", "dev", "train")  # read in this order: the test questions decide the verdict
GONE = PassageShown("", (), "(This passage is no longer among the documents.)")
CSV_SUFFIX = ".csv"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would calculate instead of showing it
COLUMNS = (
    *("question_id", "split", "state", "reason", "question", "answer", "passage", "documents"),
    *("style", "query_type", "hops", *ASPECTS, "overall", "base_rank", "bm25_rank", "decision", "note"),
)
Cell = str | int | float
NO_QUESTION = (Rejection.NOTHING_TO_ASK, Rejection.EMPTY, Rejection.FAILED)


class ChunkText(TypedDict):
    """The columns of chunks.parquet that are shown."""

    chunk_id: str
    doc_id: str
    heading_path: list[str]
    text: str


@dataclass(frozen=True)
class QuestionTable:
    """Every question of a work directory that has words, kept ones first.

    Args:
        questions: The questions artifact.
        rows: The questions by id; the reason of a kept one is "".
        passages: The passages that they were written about, by id.
        rejected: Number of rejected questions by reason, those without words included.
    """

    questions: Artifact
    rows: dict[str, RejectedRow]
    passages: dict[str, PassageShown]
    rejected: dict[str, int]

    @cached_property
    def kept(self) -> int:
        """Number of questions that the filters kept."""
        return sum(not row["reason"] for row in self.rows.values())


def read_question_table(work: Path) -> QuestionTable:
    """Read the questions of a work directory and their passages.

    Raises:
        ArtifactError: There are no questions or no chunks, or they are damaged.
    """
    questions, chunks = read_artifact(work / "questions", "questions"), read_artifact(work / "chunks", "chunks")
    kept: list[RejectedRow] = [
        row | {"reason": ""} for row in pq.read_table(questions.path / "questions.parquet").to_pylist()
    ]
    rejected: list[RejectedRow] = pq.read_table(questions.path / "rejected.parquet").to_pylist()
    rows: dict[str, RejectedRow] = {row["question_id"]: row for row in kept}
    for row in rejected:
        if rejection_code(row["reason"]) not in NO_QUESTION and row["question"].strip():
            rows.setdefault(row["question_id"], row)
    wanted = {chunk_id for row in rows.values() for chunk_id in row["chunk_ids"]}
    reasons = Counter(rejection_text(row["reason"]) for row in rejected)
    return QuestionTable(questions, rows, _passages(chunks.path, wanted), dict(reasons))


def _passages(chunks: Path, wanted: set[str]) -> dict[str, PassageShown]:
    table = pq.read_table(chunks / "documents.parquet", columns=["doc_id", "path"])
    paths = dict(zip(table["doc_id"].to_pylist(), table["path"].to_pylist(), strict=True))
    found: dict[str, PassageShown] = {}
    for batch in pq.ParquetFile(chunks / "chunks.parquet").iter_batches(columns=list(ChunkText.__annotations__)):
        rows: list[ChunkText] = batch.to_pylist()
        for row in rows:
            if row["chunk_id"] in wanted:
                shown = PassageShown(paths[row["doc_id"]], tuple(row["heading_path"]), row["text"])
                found.setdefault(row["chunk_id"], shown)
    return found | dict.fromkeys(wanted - {*found}, GONE)  # ingest ran again, and generate has not yet


def page_of(
    table: QuestionTable, reviews: Mapping[str, Review], limit: int, needed: int, command: str
) -> QuestionsPage:
    """Return the page: every test question first, and examples of each reason for rejection.

    Which questions are shown is decided by their ids, which are hashes: the better ones have no better chance.

    Args:
        table: The questions.
        reviews: Decisions so far; undecided questions come first.
        limit: Number of kept questions on the page.
        needed: Number of accepted test questions that make an evaluation set.
        command: The command that imports decisions.
    """
    rows = _order(table.rows.values(), reviews)
    kept = [row for row in rows if not row["reason"]][:limit]
    by_reason: dict[str, list[RejectedRow]] = {}
    for row in rows:
        if row["reason"]:
            by_reason.setdefault(rejection_text(row["reason"]), []).append(row)
    shown = [*kept, *(row for found in by_reason.values() for row in found[:FOR_REASON])]
    on_page = {row["question_id"] for row in shown}
    accepted = [name for name, review in reviews.items() if is_checked(table.rows.get(name), review)]
    figures = table.questions.manifest.report.metrics
    return QuestionsPage(
        fingerprint=table.questions.fingerprint,
        writers=" and ".join(dict.fromkeys(str(figures.get(name, "?")) for name in ("generator", "judge"))),
        kept=table.kept,
        rejected=sum(table.rejected.values()),
        total=len(table.rows),
        needed=needed,
        checked_elsewhere=sum(name not in on_page for name in accepted),
        command=command,
        reasons=tuple(
            ReasonShown(text, count, tuple(row["question"] for row in by_reason.get(text, ())[:EXAMPLES]))
            for text, count in sorted(table.rejected.items(), key=lambda entry: (-entry[1], entry[0]))
        ),
        items=tuple(_shown(row, reviews.get(row["question_id"])) for row in shown),
        passages={name: table.passages[name] for row in shown for name in row["chunk_ids"]},
    )


def _order(rows: Iterable[RejectedRow], reviews: Mapping[str, Review]) -> list[RejectedRow]:
    return sorted(
        rows,
        key=lambda row: (
            row["question_id"] in reviews,
            SPLITS.index(row["split"]),
            hashlib.sha256(row["question_id"].encode()).digest(),
        ),
    )


def is_checked(row: RejectedRow | None, review: Review) -> bool:
    """Return whether a review accepts a test question."""
    return row is not None and row["split"] == "test" and review.decision == "accept"


def _shown(row: RejectedRow, review: Review | None) -> QuestionShown:
    aspects = (row["relevance"], row["accuracy"], row["clarity"], row["context_support"])
    scores = [(name.replace("_", " "), float(score)) for name, score in zip(ASPECTS, aspects, strict=True)]
    scores.append(("mean", round(row["overall"], 2)))
    ranks = (("rank in the base model", row["base_rank"]), ("in BM25", row["bm25_rank"]))
    return QuestionShown(
        id=row["question_id"],
        state="rejected" if row["reason"] else "kept",
        reason=rejection_text(row["reason"]) if row["reason"] else "",
        split=row["split"],
        question=row["question"],
        answer=row["answer"],
        passages=tuple(row["chunk_ids"]),
        style=row["style"],
        type=row["query_type"],
        hops=row["hops"],
        scores=tuple(scores) if row["overall"] else (),
        ranks=tuple((name, str(rank)) for name, rank in ranks if rank),
        review=review.model_dump(exclude={"question_id"}) if review else None,
    )


def records(table: QuestionTable, reviews: Mapping[str, Review]) -> Iterator[dict[str, Cell]]:
    """Yield every question as a flat record with the columns `COLUMNS`; passages are joined by a blank line."""
    for row in table.rows.values():
        review = reviews.get(row["question_id"])
        passages = [table.passages[name] for name in row["chunk_ids"]]
        known: dict[str, Any] = {  # the columns of a row have different types
            **row,
            "state": "rejected" if row["reason"] else "kept",
            "reason": rejection_text(row["reason"]) if row["reason"] else "",
            "passage": "\n\n".join("\n".join((" > ".join(one.heading), one.text)) for one in passages),
            "documents": ", ".join(dict.fromkeys(one.path for one in passages)),
            "decision": review.decision if review else "",
            "note": review.note if review else "",
        }
        if review is not None:
            known |= {"question": review.question or row["question"], "answer": review.answer or row["answer"]}
        yield {name: known[name] for name in COLUMNS}


def write_table(path: Path, rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write records as CSV, for a spreadsheet, or as JSON lines, depending on the name of the file."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix.lower() != CSV_SUFFIX:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _as_cell(value) for name, value in row.items()})


def _as_cell(value: Cell) -> Cell:
    """Return a value for a spreadsheet; text that it would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_typed(cell: str) -> str:
    """Return the text of a cell without the apostrophe that `write_table` put in front of it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def reasons_of(table: QuestionTable) -> Sequence[tuple[str, int]]:
    """Return the number of rejected questions by reason, the most frequent first."""
    return sorted(table.rejected.items(), key=lambda entry: (-entry[1], entry[0]))
