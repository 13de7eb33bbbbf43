"""How long work tells how far it is. Stages report; only the command line draws."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


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
