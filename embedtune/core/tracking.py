"""Experiment tracking as a stage sees it: a training sends its curves, whoever listens."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class TrackedTraining(Protocol):
    """One training that is being recorded."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of an optimiser step; never raises because of a tool."""


class Tracking(Protocol):
    """Records trainings."""

    def training(self, name: str, done: int | None) -> AbstractContextManager[TrackedTraining]:
        """Open the record of a training for use in a `with` statement.

        Args:
            name: Identifies the training in its work directory.
            done: Steps of the checkpoint that it continues from; None: it starts from the base model.
        """


class _Untracked:
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""


class NoTracking:
    """Records nothing: the default."""

    @contextmanager
    def training(self, name: str, done: int | None) -> Iterator[TrackedTraining]:
        """Yield a training that ignores everything."""
        yield _Untracked()
