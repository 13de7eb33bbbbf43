"""A finished training run: its record, its figures for the report, and its warnings."""

from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import Figure
from embedtune.core.config.train import TrainSettings
from embedtune.core.records.training import DevPoint, KeptStep, SizeComparison, Training, TrainingStep
from embedtune.train.plan import TrainingPlan


@dataclass(frozen=True)
class Fit:
    """The result of the trainer.

    Args:
        checkpoint: The checkpoint to keep.
        best_step: Its step.
        steps: One entry per step.
        dev: One entry per measurement after the start; empty without dev questions.
        rows_per_second: Average since the last interruption, measurements on dev included.
    """

    checkpoint: Path
    best_step: int
    steps: tuple[TrainingStep, ...]
    dev: tuple[DevPoint, ...]
    rows_per_second: float


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Args:
        plan: Rows and steps.
        fit: Curves and the kept step.
        base: nDCG@10 of the base model on dev, by vector size; empty without dev questions.
        tuned: The same for the kept weights.
        device: Name of the device.
    """

    plan: TrainingPlan
    fit: Fit
    base: dict[int, float]
    tuned: dict[int, float]
    device: str

    def record(self) -> Training:
        """Return the content of training.json."""
        size = max(self.base, default=0)
        start = (DevPoint(step=0, epoch=0.0, ndcg_at_10=self.base[size]),) if self.base else ()
        table = tuple(SizeComparison(dimension=d, base=self.base[d], tuned=self.tuned[d]) for d in self.base)
        return Training(
            steps=self.fit.steps,
            dev=start + self.fit.dev,
            best=KeptStep(
                step=self.fit.best_step,
                epoch=round(self.plan.epoch(self.fit.best_step), 4),
                ndcg_at_10=self.tuned.get(size),
            ),
            rows=self.plan.rows,
            batch_size=self.plan.batch_size,
            device=self.device,
            matryoshka=table if len(table) > 1 else (),
        )

    def metrics(self) -> dict[str, Figure]:
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
        """Return the remarks for the report's readers."""
        notes = []
        if self.plan.batch_size != settings.batch_size:
            notes.append(
                f"the batch of {settings.batch_size} rows was reduced to {self.plan.batch_size}, "
                f"since there are only {self.plan.rows} rows"
            )
        if not self.base:
            notes.append("there are no dev questions: the last checkpoint was kept without being measured")
        elif max(entry.ndcg_at_10 for entry in self.fit.dev) <= self.base[max(self.base)]:
            notes.append(
                f"no checkpoint beats the base model on dev: the best one has nDCG@10 "
                f"{self.tuned[max(self.base)]:.4f}, the base model {self.base[max(self.base)]:.4f}"
            )
        return tuple(notes)
