"""What the command line draws: live progress on a terminal, a line now and then elsewhere, and tables."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.table import Table
from rich.text import Text

from embedtune.core.progress import Task

log = logging.getLogger(__name__)
LINE_EVERY_S = 15.0


class _RateColumn(TextColumn):
    """Units a second, or seconds a unit when that reads better."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: BarTask) -> Text:
        """Return the rate of a task."""
        return Text(rate_text(task.speed, task.fields.get("unit", "")), style="cyan")


def rate_text(speed: float | None, unit: str) -> str:
    """Return a rate as text: "12.3 chunks/s" or "4.2 s a chunk"."""
    if not speed:
        return ""
    return f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s a {_one(unit)}"


def _one(unit: str) -> str:
    return f"{unit.removesuffix('ies')}y" if unit.endswith("ies") else unit.removesuffix("s")


class _BarTask:
    def __init__(self, bars: Bars, task_id: TaskID) -> None:
        self._bars = bars
        self._id = task_id

    def advance(self, n: int = 1) -> None:
        self._bars.advance(self._id, n)

    def note(self, text: str) -> None:
        self._bars.update(self._id, note=text)


class TerminalProgress:
    """Bars with rate and time left, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            _RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Draw one bar while the task is open."""
        if self._open == 0:
            self._bars.start()
        self._open += 1
        task_id = self._bars.add_task(name, total=total, unit=unit, note="")
        try:
            yield _BarTask(self._bars, task_id)
        finally:
            self._bars.remove_task(task_id)
            self._open -= 1
            if self._open == 0:
                self._bars.stop()


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


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Table:
    """Return a table whose first column is text and whose other columns are figures."""
    out = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, header in enumerate(headers):
        out.add_column(header, justify="left" if number == 0 else "right")
    for row in rows:
        out.add_row(*row)
    return out
