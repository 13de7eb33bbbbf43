"""Feedback: for a query of a person, which results were shown and which were chosen. JSON lines.

Gateways write it; `embedtune eval-set`, the stage split and `embedtune forget` read it. People gave it once, so a
version of the record that has been released must stay readable: it cannot be recreated.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from embedtune.core.errors import InputError
from embedtune.core.records.base import Part

MAX_QUERY = 8192  # characters
MAX_ID = 512  # characters
MAX_SHOWN = 100
RELEASE = r"[0-9a-f]{8,64}"
# One file per day on a disk; a sealed one, which is complete, has a name of its own.
FILE = re.compile(r"feedback-(?P<day>\d{4}-\d{2}-\d{2})(-[0-9a-f]{12})?\.jsonl")
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID)]


class Feedback(Part):
    """What a person chose among the results of one query.

    Attributes:
        query: The query, with personal data masked if the gateway was told to.
        release: The release that embedded it, or the beginning of its id; None: the client did not say.
        shown: Ids of the results in their order, best first: passages, or documents (ids or paths).
        chosen: Those of them that were chosen; none: no result was of use.
        time: When, by the gateway's clock.
        key: Name of the API key, never the key.
    """

    schema_name: Literal["feedback"] = "feedback"
    schema_version: Literal[1] = 1
    query: Annotated[str, StringConstraints(min_length=1)]  # placeholders may be longer than what they mask
    release: Annotated[str, StringConstraints(pattern=rf"^{RELEASE}$")] | None
    shown: tuple[Id, ...] = Field(min_length=1, max_length=MAX_SHOWN)
    chosen: tuple[Id, ...]
    time: AwareDatetime
    key: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.shown)) < len(self.shown) or len(set(self.chosen)) < len(self.chosen):
            raise ValueError("shown or chosen has an id twice")
        if not set(self.chosen) <= set(self.shown):
            raise ValueError("chosen has an id that was not shown")
        return self

    @property
    def line(self) -> bytes:
        """The record as one line of a file."""
        return self.model_dump_json().encode() + b"\n"


@dataclass
class FeedbackReader:
    """Reads feedback; lines that cannot be read are counted, since a crash can cut the last one off.

    Attributes:
        unreadable: Number of lines that are no feedback.
        first: Place of the first of them, and what is wrong with it.
    """

    unreadable: int = 0
    first: str = ""

    def read(self, files: Iterable[Path]) -> Iterator[Feedback]:
        """Yield the feedback in files, in the order of the files and lines.

        Raises:
            InputError: A file cannot be read.
        """
        for file in files:
            try:
                with file.open("rb") as stream:
                    yield from self.parse(stream, str(file))
            except OSError as error:
                raise InputError("the feedback cannot be read", got=f"{file}: {error.strerror}") from error

    def parse(self, lines: Iterable[bytes], where: str) -> Iterator[Feedback]:
        """Yield the feedback in the lines of one file.

        Args:
            lines: The lines.
            where: The file, for `first`.
        """
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield Feedback.model_validate_json(line)
            except ValidationError as error:
                problem = error.errors(include_input=False)[0]
                place = ".".join(map(str, problem["loc"]))
                self.unreadable += 1
                self.first = self.first or f"{where}:{number}: {place or 'the line'}: {problem['msg']}"


def file_name(day: date) -> str:
    """Return the name of the file of one day."""
    return f"feedback-{day.isoformat()}.jsonl"


def day_of(name: str) -> date | None:
    """Return the day of a file of feedback, or None if the name is not that of one."""
    found = FILE.fullmatch(name)
    if found is None:
        return None
    try:
        return date.fromisoformat(found["day"])
    except ValueError:  # such as 2026-02-30: not written by a gateway
        return None


def today() -> date:
    """Return today's date in UTC, which files of feedback are named by."""
    return datetime.now(UTC).date()
