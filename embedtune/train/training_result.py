"""A finished training run: its record, its figures for the report, and its warnings."""

from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.artifacts import Figure
from embedtune.core.config.train import TrainSettings
from embedtune.core.encoders.precision import Compute, Dtype
from embedtune.core.records.training import (
    DevPoint,
    KeptStep,
    OtherSeed,
    SharePoint,
    SizeComparison,
    Training,
    TrainingStep,
)
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.train.plan import TrainingPlan

ROUNDING = 0.005  # of nDCG@10, as for engines (export.max_ndcg_drift); less is noise


@dataclass(frozen=True)
class Fit:
    """The result of the trainer.

    Args:
        checkpoint: The checkpoint to keep.
        best_step: Its step.
        steps: One entry per step.
        dev: One entry per measurement after the start; empty without dev questions.
        rows_per_second: Average since the last interruption, measurements on dev included.
        shares: nDCG@10 on dev by share of the base model's weights; empty if it was not measured.
    """

    checkpoint: Path
    best_step: int
    steps: tuple[TrainingStep, ...]
    dev: tuple[DevPoint, ...]
    rows_per_second: float
    shares: dict[float, float] = field(default_factory=dict)

    @property
    def best_dev(self) -> float | None:
        """NDCG@10 on dev when the kept checkpoint was measured; None without dev questions."""
        return {entry.step: entry.ndcg_at_10 for entry in self.dev}.get(self.best_step)


@dataclass(frozen=True)
class Pool:
    """The passages of a large corpus that checkpoints were ranked among.

    Args:
        passages: Their number.
        base: nDCG@10 of the base model on dev among them.
    """

    passages: int
    base: float


@dataclass(frozen=True)
class Numbers:
    """The arithmetic of a run and the format of its weights.

    Args:
        precision: Of training and of the measurements on dev.
        attention: The setting.
        weights: Format of the saved weights.
    """

    precision: Compute
    attention: str
    weights: Dtype


@dataclass(frozen=True)
class Trained:
    """A finished training run.

    Args:
        plan: Rows and steps.
        fit: Curves and the kept step.
        base: nDCG@10 of the base model on dev and the whole corpus, by vector size; empty without dev questions.
        tuned: The same for the weights as they were saved.
        pool: What checkpoints were ranked among; None: the whole corpus.
        numbers: Precision, attention and format of the saved weights.
        device: Name of the device.
        settings: What the run was asked to do.
        others: The trainings with other seeds, by seed.
    """

    plan: TrainingPlan
    fit: Fit
    base: dict[int, float]
    tuned: dict[int, float]
    pool: Pool | None
    numbers: Numbers
    device: str
    settings: TrainSettings
    others: dict[int, Fit] = field(default_factory=dict)

    def record(self) -> Training:
        """Return the content of training.json."""
        size = max(self.base, default=0)
        base = {size: self.pool.base} if self.pool else self.base
        start = (DevPoint(step=0, epoch=0.0, ndcg_at_10=base[size]),) if base else ()
        table = tuple(SizeComparison(dimension=d, base=self.base[d], tuned=self.tuned[d]) for d in self.base)
        return Training(
            steps=self.fit.steps,
            dev=start + self.fit.dev,
            dev_pool=self.pool.passages if self.pool else None,
            best=KeptStep(
                step=self.fit.best_step,
                epoch=round(self.plan.epoch(self.fit.best_step), 4),
                ndcg_at_10=self.tuned.get(size),
            ),
            base_share=self.settings.base_share,
            shares=self._shares(base.get(size)),
            rows=self.plan.rows,
            negatives=self.settings.negatives,
            batch_size=self.plan.batch_size,
            device=self.device,
            precision=self.numbers.precision,
            attention=self.numbers.attention,
            weights=self.numbers.weights,
            seeds=tuple(
                OtherSeed(seed=seed, step=fit.best_step, dev_ndcg_at_10=fit.best_dev)
                for seed, fit in self.others.items()
            ),
            matryoshka=table if len(table) > 1 else (),
        )

    def _shares(self, base: float | None) -> tuple[SharePoint, ...]:
        """Return the measured shares, with the tuned model and the base model at the ends."""
        trained = self.fit.best_dev
        if not self.fit.shares or trained is None or base is None:
            return ()
        figures = {0.0: trained, **self.fit.shares, 1.0: base}
        return tuple(SharePoint(base_share=share, ndcg_at_10=value) for share, value in figures.items())

    def metrics(self) -> dict[str, Figure]:
        """Return the figures for the report."""
        size, name = max(self.base, default=0), f"dev_{DECIDING_METRIC}"
        measured = {f"{name}_base": self.base[size], name: self.tuned[size]} if self.base else {}
        return {
            "rows": self.plan.rows,
            "batch_size": self.plan.batch_size,
            "steps": self.plan.steps,
            "epochs": round(self.plan.epoch(self.plan.steps), 2),
            "best_step": self.fit.best_step,
            **{name: round(value, 4) for name, value in measured.items()},
            "rows_per_second": round(self.fit.rows_per_second, 2),
            "device": self.device,
            "precision": self.numbers.precision,
            "weights": self.numbers.weights,
        }

    def notes(self) -> tuple[str, ...]:
        """Return the remarks for the report's readers."""
        notes = []
        if self.plan.batch_size != self.settings.batch_size:
            notes.append(
                f"the batch of {self.settings.batch_size} rows was reduced to {self.plan.batch_size}, "
                f"since there are only {self.plan.rows} rows"
            )
        if not self.base:
            notes.append("there are no dev questions: the last checkpoint was kept without being measured")
        elif self.tuned[max(self.base)] <= self.base[max(self.base)]:
            notes.append(
                f"the tuned model does not beat the base model on dev: it has {metric_title(DECIDING_METRIC)} "
                f"{self.tuned[max(self.base)]:.4f}, the base model {self.base[max(self.base)]:.4f}"
            )
        if (change := self.rounding()) is not None and abs(change) > ROUNDING:
            notes.append(
                f"saved in {self.numbers.weights} the weights have {metric_title(DECIDING_METRIC)} "
                f"{self.tuned[max(self.tuned)]:.4f} on dev, {change:+.4f} compared with training: "
                "see train.save_dtype"
            )
        if self.pool is not None:
            notes.append(
                f"checkpoints were ranked among {self.pool.passages:,} passages (train.dev_passages); the kept "
                "one and the base model were compared on all passages"
            )
        return tuple(notes)

    def rounding(self) -> float | None:
        """Return how much nDCG@10 on dev changed when the weights were rounded; None if that was not measured."""
        if self.pool is not None or self.settings.base_share:
            return None  # the checkpoint was measured among fewer passages, or the saved weights are merged
        trained = self.fit.best_dev
        return None if trained is None or not self.tuned else self.tuned[max(self.tuned)] - trained
