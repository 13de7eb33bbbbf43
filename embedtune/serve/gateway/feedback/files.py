"""The files of feedback in one folder: a line is there as a whole or not at all, whoever else writes."""

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from embedtune.core.records.feedback import day_of, file_name

LOCK = ".lock"


class NoSpaceError(Exception):
    """The folder has reached its bound."""


@dataclass(frozen=True)
class FeedbackFiles:
    """The feedback in a folder: several processes may write to it, and one may rewrite files meanwhile.

    Args:
        folder: The folder; it is made at the first write.
        max_bytes: How much there may be in it.
    """

    folder: Path
    max_bytes: int

    def append(self, day: date, lines: Sequence[bytes]) -> None:
        """Add lines to the file of a day, flushed to disk: all of them, or none after an error.

        Raises:
            NoSpaceError: The folder would exceed its bound.
            OSError: The disk is full, or the folder cannot be written.
        """
        data = b"".join(lines)
        with self.locked():
            if self.size() + len(data) > self.max_bytes:
                raise NoSpaceError
            with open(self.folder / file_name(day), "ab", opener=_private) as stream:
                start = stream.tell()
                try:
                    stream.write(_line_break(self.folder / file_name(day), start) + data)
                    stream.flush()
                    os.fsync(stream.fileno())
                except OSError:
                    os.ftruncate(stream.fileno(), start)
                    raise

    def seal(self) -> list[Path]:
        """Give every file of a day a name that no other process has or will use; return all such files."""
        with self.locked():
            for path in self.names():
                if path.name == file_name(day_of(path.name) or date.min):
                    path.rename(path.with_name(f"{path.stem}-{uuid.uuid4().hex[:12]}.jsonl"))
            return [path for path in self.names() if path.name != file_name(day_of(path.name) or date.min)]

    def names(self) -> list[Path]:
        """Return the files, sorted."""
        return sorted(path for path in self.folder.glob("feedback-*.jsonl") if day_of(path.name))

    def size(self) -> int:
        """Return how many bytes the files have; one that is gone in the meantime has none."""
        total = 0
        for path in self.names():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def lines(self) -> int:
        """Return how many lines the files have; one that is gone in the meantime has none."""
        total = 0
        for path in self.names():
            with suppress(FileNotFoundError):
                total += path.read_bytes().count(b"\n")
        return total

    def delete_before(self, day: date) -> list[str]:
        """Delete the files of earlier days; return their names."""
        with self.locked():
            old = [path for path in self.names() if (day_of(path.name) or day) < day]
            for path in old:
                path.unlink(missing_ok=True)
        return [path.name for path in old]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, "w", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def first_day_kept(now: date, days: int) -> date:
    """Return the oldest day whose feedback is kept.

    Args:
        now: Today.
        days: For how many days feedback is kept, in addition to the day on which it was given.
    """
    return now - timedelta(days=days)


def _private(path: str, flags: int) -> int:
    """Open a file that no other user reads, since queries may contain personal data; links are not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _line_break(path: Path, size: int) -> bytes:
    """Return what ends a line that a crash cut off."""
    if size == 0:
        return b""
    with path.open("rb") as stream:
        stream.seek(size - 1)
        return b"" if stream.read(1) == b"\n" else b"\n"
