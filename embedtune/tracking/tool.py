"""The record of one training in one tool; each tool has a module that opens such records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Place:
    """The training that a record is about.

    Args:
        name: Identifies the training in its work directory.
        work: The work directory.
        id: The record to continue; None: a new one.
        done: Steps of the checkpoint that the training continues from; None: it starts from the base model.
    """

    name: str
    work: Path
    id: str | None
    done: int | None

    @property
    def title(self) -> str:
        """Name for people: the work directory and the training."""
        return f"{self.work.resolve().name} {self.name.replace('/', '-')}"


class ToolRun(Protocol):
    """The record of a training in one tool. Every method may raise whatever the tool raises."""

    @property
    def id(self) -> str:
        """Finds the record again."""

    def params(self, values: Mapping[str, str]) -> None:
        """Record the settings."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record values of a step."""

    def result(self, verdict: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Record the verdict, its figures, and files if the tool stores files."""

    def end(self, *, finished: bool) -> None:
        """Send what is left and close the record; the training may have been interrupted."""


Opener = Callable[[Place], ToolRun]
