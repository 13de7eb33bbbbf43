"""Progress of long-running work: stages report it, and only the command line draws it."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

log = logging.getLogger(__name__)
LINE_EVERY_S = 15.0


class Task(Protocol):
    """One piece of work in progress."""

    def advance(self, n: int = 1) -> None:
        """Report that `n` more units are done."""

    def note(self, text: str) -> None:
        """Show a short remark next to the bar, such as the current loss or cost."""


class Progress(Protocol):
    """Receives the progress of a stage."""

    def task(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown) for use in a `with` statement."""


class _SilentTask:
    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class SilentProgress:
    """Ignores progress: for tests and for use as a library."""

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Yield a task that ignores everything."""
        yield _SilentTask()


class _LineTask:
    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._done, self._note = 0, ""
        self._began = self._said = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._said >= LINE_EVERY_S:
            self._said = now
            log.info("%s", self._line(now - self._began))

    def note(self, text: str) -> None:
        self._note = text

    def _line(self, seconds: float) -> str:
        speed = self._done / seconds
        parts = [f"{self._name}: {self._done}/{self._total or '?'} {self._unit}", rate_text(speed, self._unit)]
        if self._total and speed:
            parts.append(f"{(self._total - self._done) / speed:.0f} s left")
        return ", ".join(part for part in [*parts, self._note] if part)


class LineProgress:
    """Logs a line every 15 seconds: for logs, pipes and containers."""

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Yield a task that logs its progress."""
        yield _LineTask(name, total, unit)


def rate_text(speed: float | None, unit: str) -> str:
    """Return a rate as text: "12.3 chunks/s" or "4.2 s/chunk"."""
    if not speed:
        return ""
    return f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s/{_one(unit)}"


def _one(unit: str) -> str:
    """Return the singular of a unit."""
    return f"{unit.removesuffix('ies')}y" if unit.endswith("ies") else unit.removesuffix("s")
