"""Live progress and tables, drawn on a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.table import Table
from rich.text import Text

from embedtune.core.formatting import duration
from embedtune.core.progress import Pace, Task, rate_text
from embedtune.core.records.evaluation import Interval


class _RateColumn(TextColumn):
    """Units per second, or seconds per unit for slow work."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: BarTask) -> Text:
        """Return the rate of a task."""
        return Text(rate_text(task.fields["pace"].rate, task.fields["unit"]), style="cyan")


class _LeftColumn(TextColumn):
    """Remaining time; rich's own takes what an earlier run did for the work of this one."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: BarTask) -> Text:
        """Return the remaining time of a task."""
        left = task.fields["pace"].left_s
        return Text("" if left is None else f"{duration(left)} left", style="cyan")


class _BarTask:
    def __init__(self, bars: Bars, task_id: TaskID, pace: Pace) -> None:
        self._bars = bars
        self._id = task_id
        self._pace = pace

    def advance(self, n: int = 1) -> None:
        self._pace.done += n
        self._bars.advance(self._id, n)

    def skip(self, n: int = 1) -> None:
        self._pace.skipped += n
        self.advance(n)

    def note(self, text: str) -> None:
        self._bars.update(self._id, note=text)


class TerminalProgress:
    """Progress bars with rate and remaining time."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            _RateColumn(),
            _LeftColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Show a bar while the task is open."""
        if self._open == 0:
            self._bars.start()
        self._open += 1
        pace = Pace(total)
        task_id = self._bars.add_task(name, total=total, unit=unit, note="", pace=pace)
        try:
            yield _BarTask(self._bars, task_id, pace)
        finally:
            self._bars.remove_task(task_id)
            self._open -= 1
            if self._open == 0:
                self._bars.stop()


UNFOLDED = 10_000  # characters per line: no table is wider


class FigureTable:
    """A table of names and figures, never folded: in a narrow terminal its lines run on, as those of kubectl do.

    Args:
        grid: The table as rich draws it; it would break names and figures to make it fit.
    """

    def __init__(self, grid: Table) -> None:
        self.grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table as wide as it is; `Console.print` needs `soft_wrap=True` not to cut it."""
        whole = options.update(max_width=UNFOLDED, no_wrap=False)
        return self.grid.__rich_console__(console, whole)


def interval_cell(gap: Interval) -> str:
    """Return the two ends of an interval; a dash if there are too few units for one."""
    return "-" if gap.unbounded else f"{gap.low:+.4f} … {gap.high:+.4f}"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> FigureTable:
    """Return a table: its first column is text, the others are figures."""
    out = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for number, header in enumerate(headers):
        out.add_column(header, justify="left" if number == 0 else "right")
    for row in rows:
        out.add_row(*row)
    return FigureTable(out)
