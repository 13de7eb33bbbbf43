"""Weights & Biases: a run per training, in the project that WANDB_PROJECT names."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from embedtune.tracking.tool import Place


class WandbRun:
    """A run of Weights & Biases; neither console output nor code is sent.

    Args:
        place: The training.
    """

    def __init__(self, place: Place) -> None:
        # Also for what it says before there is a run, on stdout, which belongs to `--json`.
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False)
        wandb.setup(settings=quiet)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "embedtune"),
            id=place.id,
            name=place.title,
            dir=str(place.work),
            resume="allow",
            reinit="create_new",
            settings=quiet,
        )
        self.id: str = self._run.id

    def params(self, values: Mapping[str, str]) -> None:
        """Record the settings."""
        self._run.config.update(dict(values))  # type: ignore[no-untyped-call]

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record values; W&B itself leaves out steps that it already has."""
        self._run.log(dict(values), step=step)

    def result(self, verdict: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Put the verdict and its figures into the summary, and the files into an artifact."""
        self._run.summary.update({"verdict": verdict, **figures})
        artifact = wandb.Artifact(f"evaluation-{self.id}", type="evaluation")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def end(self, *, finished: bool) -> None:
        """Send what is left; an interrupted training is shown as failed until it continues."""
        self._run.finish(exit_code=0 if finished else 1)
