"""What a training run came to: the curves in training.json, the figures and the warnings of the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.config.train import TrainSettings
from embedtune.train.dev import METRIC
from embedtune.train.plan import TrainingPlan

Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Fit:
    """What the trainer left.

    Args:
        checkpoint: The one to keep.
        best_step: Its step.
        losses: One entry a step: step, epoch, loss, lr.
        dev: One entry a measurement after the start: step, epoch, ndcg@10; empty without dev questions.
        rows_per_second: Of the steps since the last interruption, measurements on dev included.
    """

    checkpoint: Path
    best_step: int
    losses: Curve
    dev: Curve
    rows_per_second: float


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Args:
        plan: Rows and steps.
        fit: Curves and the kept step.
        base: nDCG@10 of the base model on dev, by vector size; empty without dev questions.
        tuned: The same of the kept weights.
        device: Name of the device.
    """

    plan: TrainingPlan
    fit: Fit
    base: dict[int, float]
    tuned: dict[int, float]
    device: str

    def record(self) -> dict[str, Any]:
        """Return what training.json holds."""
        size = max(self.base, default=0)
        start = [{"step": 0, "epoch": 0.0, METRIC: self.base[size]}] if self.base else []
        table = [{"dimension": d, "base": self.base[d], "tuned": self.tuned[d]} for d in self.base]
        return {
            "steps": self.fit.losses,
            "dev": [*start, *self.fit.dev],
            "best": {
                "step": self.fit.best_step,
                "epoch": round(self.plan.epoch(self.fit.best_step), 4),
                METRIC: self.tuned.get(size),
            },
            "rows": self.plan.rows,
            "batch_size": self.plan.batch_size,
            "device": self.device,
            "matryoshka": table if len(table) > 1 else None,
        }

    def metrics(self) -> dict[str, float | int | str]:
        """Return the figures for the report."""
        size = max(self.base, default=0)
        measured = {"dev_ndcg@10_base": self.base[size], "dev_ndcg@10": self.tuned[size]} if self.base else {}
        return {
            "rows": self.plan.rows,
            "batch_size": self.plan.batch_size,
            "steps": self.plan.steps,
            "epochs": round(self.plan.epoch(self.plan.steps), 2),
            "best_step": self.fit.best_step,
            **{name: round(value, 4) for name, value in measured.items()},
            "rows_per_second": round(self.fit.rows_per_second, 2),
            "device": self.device,
        }

    def notes(self, settings: TrainSettings) -> tuple[str, ...]:
        """Return what a reader of the report should know."""
        notes = []
        if self.plan.batch_size != settings.batch_size:
            notes.append(
                f"the batch of {settings.batch_size} rows became {self.plan.batch_size}, "
                f"since there are only {self.plan.rows} rows"
            )
        if not self.base:
            notes.append("there are no dev questions: the last checkpoint was kept, unmeasured")
        elif max(entry[METRIC] for entry in self.fit.dev) <= self.base[max(self.base)]:
            notes.append(
                f"no checkpoint beats the base model on dev: the best trained one has nDCG@10 "
                f"{self.tuned[max(self.base)]:.4f}, the base {self.base[max(self.base)]:.4f}"
            )
        return tuple(notes)
