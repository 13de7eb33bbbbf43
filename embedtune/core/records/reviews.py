"""What people decided about questions: JSON lines, one per question; generate reads them."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints, ValidationError

from embedtune.core.errors import InputError
from embedtune.core.records.base import Part

REVIEWS_FILE = "reviews.jsonl"  # in a work directory
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Review(Part):
    """A person's decision about one question.

    Attributes:
        question_id: The question, as the questions artifact names it; an edit does not change the id.
        decision: Whether it is used; "clear" takes an earlier decision back.
        question: The question in the person's words; None: as it is.
        answer: The answer in the person's words; None: as it is.
        note: Why; for people only.
    """

    question_id: Text
    decision: Literal["accept", "reject", "clear"]
    question: Text | None = None
    answer: Text | None = None
    note: str = ""


def read_reviews(path: Path) -> dict[str, Review]:
    """Read reviews, by question id; the last line about a question counts.

    Raises:
        InputError: The file is missing, or a line is not a review.
    """
    if not path.is_file():
        raise InputError("the reviews do not exist", got=str(path), fix="embedtune questions WORK --import FILE")
    found: dict[str, Review] = {}
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                review = parse_review(line, f"{path}:{number}")
                found[review.question_id] = review
    return found


def parse_review(text: str, where: str) -> Review:
    """Read one review from its JSON.

    Args:
        text: A JSON object.
        where: Its place, for the error.

    Raises:
        InputError: It is not a review.
    """
    try:
        return Review.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{where} is not a review",
            got=f"{place}: {first['msg']}" if place else first["msg"],
            expected='{"question_id": "…", "decision": "accept", "reject" or "clear", "question": …, "answer": …}',
        ) from error


def write_reviews(path: Path, reviews: Iterable[Review]) -> None:
    """Write reviews, ordered by question id; the file is replaced as a whole."""
    ordered = sorted(reviews, key=lambda review: review.question_id)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text("".join(f"{review.model_dump_json()}\n" for review in ordered), encoding="utf-8")
    draft.replace(path)


def fingerprint(reviews: Mapping[str, Review]) -> str:
    """Return a hash of what the reviews decide: notes and the order of lines do not count."""
    lines = [review.model_dump_json(exclude={"note"}) for _, review in sorted(reviews.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
