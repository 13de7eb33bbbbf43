"""Questions of people with quotes from the documents that answer them, and where in the documents a quote is."""

import difflib
import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic import Field as Constraint

from embedtune.core.errors import InputError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Answer(BaseModel):
    """The place of an answer: exact words from one passage of one document, or the document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Text = Constraint(description="Path of the document, relative to the folder that was ingested.")
    quote: Text | None = Constraint(
        default=None, description="Words from the passage; case and whitespace do not matter. None: the document."
    )


class QuotedQuestion(BaseModel):
    """One line of the questions file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Text
    answers: Annotated[tuple[Answer, ...], Constraint(min_length=1)]

    @property
    def id(self) -> str:
        """The first 16 hex digits of the question's hash."""
        return hashlib.sha256(self.question.encode()).hexdigest()[:16]


@dataclass
class Document:
    """The passages of one document in order: chunk ids, and texts normalised for the comparison with quotes."""

    doc_id: str = ""
    chunk_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @property
    def judged(self) -> list[str]:
        """The passages that no earlier document has word for word; all, if there is no such passage."""
        return self.own or self.chunk_ids


def read_questions(path: Path) -> Iterator[tuple[int, QuotedQuestion]]:
    """Yield each question with its line number.

    Args:
        path: JSON lines, `{"question": …, "answers": [{"path": …, "quote": …}, …]}`.

    Raises:
        InputError: A line is not a question of this form, or a question is repeated; or there is none.
    """
    if not path.is_file():
        raise InputError("the questions file does not exist", got=str(path))
    first_lines: dict[str, int] = {}
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.removeprefix(BOM_UTF8) if number == 1 else raw
            if not line.strip():
                continue
            try:
                question = QuotedQuestion.model_validate_json(line)
            except ValidationError as error:
                raise InputError(
                    f"{path}:{number} is not a quoted question",
                    got=f"{_fault(error)}: {line.decode(errors='replace').strip()[:80]}",
                    expected='{"question": …, "answers": [{"path": …, "quote": …}, …]}, in UTF-8',
                ) from error
            if question.id in first_lines:
                raise InputError(
                    f"{path}:{number} repeats the question of line {first_lines[question.id]}",
                    got=question.question,
                    fix="put all answers to it on one line",
                )
            first_lines[question.id] = number
            yield number, question
    if not first_lines:
        raise InputError("the questions file is empty", got=str(path))


def _fault(error: ValidationError) -> str:
    """Return the first fault with the name of its field."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def normal(text: str) -> str:
    """Normalise a text for the comparison with quotes: case folded, with runs of whitespace as single spaces."""
    return " ".join(text.casefold().split())


def place(answer: Answer, documents: dict[str, Document]) -> tuple[list[str], str]:
    """Return the id of the passage that contains the quote, or those of the document, or what is wrong.

    Args:
        answer: The quote, or the document.
        documents: The documents by path.
    """
    document = documents.get(answer.path)
    if document is None:
        near = difflib.get_close_matches(answer.path, sorted(documents), n=1, cutoff=0.0)
        return [], f"no such document; nearest: {', '.join(near)}"
    if answer.quote is None:
        return document.judged, "" if document.chunk_ids else "the document has no passage"
    quote = normal(answer.quote)
    # A passage that a document repeats word for word has one id, so the quote is not ambiguous.
    found = {chunk_id for chunk_id, text in zip(document.chunk_ids, document.texts, strict=True) if quote in text}
    if len(found) == 1:
        return [found.pop()], ""
    if found:
        return [], f"{len(found)} passages contain {answer.quote!r}"
    if quote in " ".join(document.texts):
        return [], f"{answer.quote!r} runs on from one passage into the next"
    return [], f"no passage contains {answer.quote!r}; nearest: {_nearest(quote, document.texts)!r}"


def _nearest(quote: str, texts: list[str]) -> str:
    """Return the run of words, as long as the quote, that shares the most words with it; the first of several."""
    wanted = set(quote.split())
    size = len(quote.split())
    words = [text.split() for text in texts]
    stretches = [part[i : i + size] for part in words for i in range(max(1, len(part) - size + 1))]
    return " ".join(max(stretches, key=lambda stretch: len(wanted.intersection(stretch)), default=[]))
