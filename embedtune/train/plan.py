"""Which rows form which optimiser step: decided before training, so that a resumed run sees the same ones."""

import math
from dataclasses import dataclass

import numpy as np

from embedtune.core.config.train import TrainSettings

RECIPE_BATCH = 128
SMALL_ROWS = 2000


@dataclass(frozen=True)
class TrainingPlan:
    """The steps of a training run.

    Every step has exactly `batch_size` rows: the epochs' shuffles follow each other and are cut into steps, so no
    row is dropped and no step is small.

    Args:
        rows: Rows there are.
        batch_size: Rows an optimiser step.
        micro_batches: Parts in which a step's rows are collated and accumulated; 1 if the loss needs all at once.
        steps: Optimiser steps.
        evaluation_interval: Steps between two measurements on dev; the last step is always measured.
        seed: Decides the order of the rows.
    """

    rows: int
    batch_size: int
    micro_batches: int
    steps: int
    evaluation_interval: int
    seed: int

    def epoch(self, step: int) -> float:
        """Return how often the rows were seen after `step` steps."""
        return step * self.batch_size / self.rows

    def batches(self) -> list[list[int]]:
        """Return the row numbers of each micro-batch of the whole run, in order."""
        total = self.steps * self.batch_size
        shuffles = [
            np.random.default_rng([self.seed, epoch]).permutation(self.rows)
            for epoch in range(math.ceil(total / self.rows))
        ]
        steps = np.concatenate(shuffles)[:total].reshape(self.steps, self.batch_size)
        return [part.tolist() for step in steps for part in np.array_split(step, self.micro_batches)]


def effective_batch_size(configured: int, rows: int) -> int:
    """Return the rows of an optimiser step.

    The recipe's rule: its default of 128 becomes max(16, min(64, rows // 8)) below 2,000 rows, so that a small set
    still gets enough steps. A batch never exceeds the rows there are.
    """
    size = configured
    if configured == RECIPE_BATCH and rows < SMALL_ROWS:
        size = max(16, min(64, rows // 8))
    return min(size, rows)


def plan_training(rows: int, settings: TrainSettings, seed: int) -> TrainingPlan:
    """Plan the steps of a run.

    Args:
        rows: Unrolled rows, at least 1.
        settings: Batch size, epochs, loss and measurements.
        seed: Decides the order of the rows.
    """
    batch_size = effective_batch_size(settings.batch_size, rows)
    accumulates = settings.loss == "own_negatives"
    steps = math.ceil(settings.epochs * rows / batch_size)
    evaluations = max(1, round(settings.epochs * settings.evaluations_per_epoch))
    return TrainingPlan(
        rows=rows,
        batch_size=batch_size,
        micro_batches=math.ceil(batch_size / settings.micro_batch_size) if accumulates else 1,
        steps=steps,
        evaluation_interval=math.ceil(steps / evaluations),
        seed=seed,
    )
