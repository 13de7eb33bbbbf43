"""Progress of long-running work: stages report it, and only the command line draws it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from embedtune.core.formatting import duration

log = logging.getLogger(__name__)
LINE_EVERY_S = 15.0


class Task(Protocol):
    """One piece of work in progress."""

    def advance(self, n: int = 1) -> None:
        """Report that `n` more units are done."""

    def skip(self, n: int = 1) -> None:
        """Report that `n` units were done by an earlier run: they say nothing about the rate of this one."""

    def note(self, text: str) -> None:
        """Show a short remark next to the bar, such as the current loss or cost."""


class Progress(Protocol):
    """Receives the progress of a stage."""

    def task(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown) for use in a `with` statement."""


@dataclass
class Pace:
    """How far a task is, how fast it is, and how long it will take.

    Args:
        total: Number of units; None: unknown.
        clock: Returns the time in seconds.
    """

    total: int | None
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    skipped: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds since the task began."""
        return self.clock() - self._began

    @property
    def rate(self) -> float | None:
        """Units per second in this run; None as long as none is done."""
        own = self.done - self.skipped
        return own / self.seconds if own and self.seconds else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None if that is not known, or all units are done."""
        if self.total is None or self.rate is None or self.done >= self.total:
            return None
        return (self.total - self.done) / self.rate


class _SilentTask:
    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def skip(self, n: int = 1) -> None:
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
    def __init__(self, name: str, unit: str, pace: Pace) -> None:
        self._name, self._unit, self._note = name, unit, ""
        self._pace = pace
        self._said_s = 0.0
        self._lock = threading.Lock()

    def advance(self, n: int = 1) -> None:
        self._pace.done += n
        self.say()

    def skip(self, n: int = 1) -> None:
        self._pace.done += n
        self._pace.skipped += n

    def note(self, text: str) -> None:
        self._note = text
        self.say()  # work that waits makes notes, but does not advance

    def say(self) -> None:
        """Log a line, unless the last one is recent."""
        with self._lock:
            if self._pace.seconds - self._said_s >= LINE_EVERY_S:
                self._said_s = self._pace.seconds
                log.info("%s", self._line())

    def _line(self) -> str:
        pace = self._pace
        parts = [f"{self._name}: {pace.done}/{pace.total or '?'} {self._unit}", rate_text(pace.rate, self._unit)]
        parts.append(
            f"{duration(pace.seconds)} so far" if pace.left_s is None else f"{duration(pace.left_s)} left"
        )
        return ", ".join(part for part in [*parts, self._note] if part)


class LineProgress:
    """Logs a line every 15 seconds, also while one step takes long: for logs, pipes and containers.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Yield a task that logs its progress."""
        line, ended = _LineTask(name, unit, Pace(total, self._clock)), threading.Event()

        def keep_saying() -> None:
            while not ended.wait(LINE_EVERY_S):
                line.say()

        threading.Thread(target=keep_saying, name=f"progress of {name}", daemon=True).start()
        try:
            yield line
        finally:
            ended.set()


def rate_text(speed: float | None, unit: str) -> str:
    """Return a rate as text: "12.3 chunks/s" or "4.2 s/chunk"."""
    if not speed:
        return ""
    return f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s/{_one(unit)}"


def _one(unit: str) -> str:
    """Return the singular of a unit."""
    return f"{unit.removesuffix('ies')}y" if unit.endswith("ies") else unit.removesuffix("s")
