"""Feedback as gateways write it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from embedtune.core.records.feedback import Feedback, file_name

DAY = date(2026, 11, 30)


def chose(query: str, *chosen: str, shown: Sequence[str] = ("a", "b", "c")) -> Feedback:
    """Return a record; what was chosen was shown."""
    return Feedback(
        query=query,
        release="2a5a5a56c044ccb4",
        shown=tuple(dict.fromkeys((*chosen, *shown))),
        chosen=chosen,
        time=datetime(2026, 11, 30, 12, tzinfo=UTC),
        key="search",
    )


def write_feedback(folder: Path, *records: Feedback, day: date = DAY) -> Path:
    """Write records as the file of one day; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / file_name(day)
    file.write_bytes(b"".join(record.line for record in records))
    return file
