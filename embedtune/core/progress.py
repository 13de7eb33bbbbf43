"""How long work tells how far it is. Stages report; only the command line draws."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

log = logging.getLogger(__name__)
LINE_EVERY_S = 15.0


class Task(Protocol):
    """One piece of work that is under way."""

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units are done."""

    def note(self, text: str) -> None:
        """Show a short changing remark beside the bar, such as a loss or a cost."""


class Progress(Protocol):
    """Where a stage reports its work."""

    def task(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown), to be used in a `with` statement."""


class _SilentTask:
    def advance(self, n: int = 1) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""


class SilentProgress:
    """Draws nothing: for tests, components and library use."""

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
    """A log line every quarter of a minute: for logs, pipes and containers."""

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Yield a task that logs."""
        yield _LineTask(name, total, unit)


def rate_text(speed: float | None, unit: str) -> str:
    """Return a rate as text: "12.3 chunks/s" or "4.2 s a chunk"."""
    if not speed:
        return ""
    return f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s a {_one(unit)}"


def _one(unit: str) -> str:
    return f"{unit.removesuffix('ies')}y" if unit.endswith("ies") else unit.removesuffix("s")
