"""TensorBoard: event files in WORK/tensorboard."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from embedtune.tracking.tool import Place

FOLDER = "tensorboard"


class TensorBoardRun:
    """Event files in a folder per training. Values of steps that are done again replace the former ones.

    Args:
        place: The training.
    """

    def __init__(self, place: Place) -> None:
        self.id = place.name
        again = place.id is not None and place.done is None  # only the result is added
        purge = None if again else (place.done or 0) + 1
        self._writer = SummaryWriter(str(place.work / FOLDER / place.name), purge_step=purge)

    def params(self, values: Mapping[str, str]) -> None:
        """Show the settings as a table."""
        rows = [f"| {name} | {value} |" for name, value in values.items()]
        self._text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add points."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def result(self, verdict: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Show the verdict as text and the figures at step 0; TensorBoard stores no files."""
        self._text("verdict", verdict)
        self.scalars(0, figures)

    def end(self, *, finished: bool) -> None:
        """Write what is left."""
        self._writer.close()

    def _text(self, name: str, text: str) -> None:
        self._writer.add_text(name, text, 0)
