"""Adds the decisions of a file to those that people made about the questions of a work directory."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from embedtune.core.errors import InputError
from embedtune.core.records.reviews import REVIEWS_FILE, Review, parse_review, write_reviews
from embedtune.local.question_table import CSV_SUFFIX, QuestionTable, as_typed
from embedtune.local.reviews import known_reviews

DECISIONS = ("accept", "reject", "clear")


@dataclass(frozen=True)
class Imported:
    """What an import changed.

    Args:
        accepted: Questions that the file accepts, edited ones included.
        edited: Those of them in the person's own words.
        rejected: Questions that it rejects.
        cleared: Questions whose earlier decision it takes back.
        unknown: Lines about questions that are not in the work directory; they are left out.
        reviews: All decisions that the work directory has now, by question id.
    """

    accepted: int
    edited: int
    rejected: int
    cleared: int
    unknown: int
    reviews: Mapping[str, Review]


def import_reviews(work: Path, file: Path, table: QuestionTable) -> Imported:
    """Add the decisions of a file to those of a work directory; later ones replace earlier ones.

    Args:
        work: The work directory.
        file: JSON lines that the page wrote, or a table as `embedtune questions --output` writes it, in which
            people filled the column `decision` or changed a question or an answer.
        table: The questions of the work directory.

    Raises:
        InputError: The file does not exist, or something in it is not a decision; nothing is imported then.
    """
    if not file.is_file():
        raise InputError("the file of decisions does not exist", got=str(file))
    given = list(_from_csv(file, table) if file.suffix.lower() == CSV_SUFFIX else _from_lines(file))
    before = known_reviews(work)
    merged = dict(before)
    known = [review for review in given if review.question_id in table.rows]
    for review in known:
        merged.pop(review.question_id, None)
        if review.decision != "clear":
            merged[review.question_id] = _merged(review, before.get(review.question_id), table)
    write_reviews(work / REVIEWS_FILE, merged.values())
    now = [merged[name] for name in {review.question_id: None for review in known} if name in merged]
    accepted = [review for review in now if review.decision == "accept"]
    return Imported(
        accepted=len(accepted),
        edited=sum(review.question is not None or review.answer is not None for review in accepted),
        rejected=len(now) - len(accepted),
        cleared=sum(review.question_id not in merged for review in known),
        unknown=len(given) - len(known),
        reviews=merged,
    )


def _merged(review: Review, before: Review | None, table: QuestionTable) -> Review:
    """Return a review with an earlier one's words where it has none, and without words that change nothing."""
    row = table.rows[review.question_id]
    words: dict[str, str | None] = {}
    for name, shown in (("question", row["question"]), ("answer", row["answer"])):
        own = getattr(review, name)
        earlier = getattr(before, name) if before else None
        words[name] = own if own is not None and (own != shown or earlier is not None) else earlier
    return review.model_copy(update=words)


def _from_lines(file: Path) -> Iterator[Review]:
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield parse_review(line, f"{file}:{number}")


def _from_csv(file: Path, table: QuestionTable) -> Iterator[Review]:
    """Yield the rows with a decision, or with words that differ from those of the work directory."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"question_id", "decision"} <= {*(reader.fieldnames or ())}:
            raise InputError(
                f"{file} is not a table of questions",
                got=", ".join(reader.fieldnames or ()) or "nothing",
                expected="the columns question_id and decision, as `embedtune questions --output FILE.csv` writes",
            )
        for row in reader:
            name = (row["question_id"] or "").strip()
            asked = table.rows.get(name)
            words = {key: " ".join(as_typed(row.get(key) or "").split()) or None for key in ("question", "answer")}
            shown = {} if asked is None else {"question": asked["question"], "answer": asked["answer"]}
            same = all(words[key] in (None, text) for key, text in shown.items())
            decision = (row["decision"] or "").strip().lower() or ("" if same else "accept")
            if not decision:
                continue
            try:
                note = as_typed(row.get("note") or "")
                yield Review.model_validate(
                    {"question_id": name, "decision": decision, **words, "note": note.strip()}
                )
            except ValidationError as error:
                raise InputError(
                    f"{file}:{reader.line_num} is not a decision",
                    got=f"question_id {name!r}, decision {decision!r}",
                    expected=f"one of {', '.join(DECISIONS)}, or an empty cell",
                ) from error
