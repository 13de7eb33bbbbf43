"""The training plan: which rows form which step, fixed before training so that a resumed run sees the same."""

import math
from dataclasses import dataclass

import numpy as np

from embedtune.core.config.train import TrainSettings

RECIPE_BATCH = 128
SMALL_ROWS = 2000


@dataclass(frozen=True)
class TrainingPlan:
    """The steps of a training run.

    Every step has exactly `batch_size` rows: the shuffled rows of all epochs are concatenated and cut into steps,
    so no row is dropped and no step is smaller than the others.

    Args:
        rows: Number of training rows.
        batch_size: Rows per optimiser step.
        micro_batches: Parts of a step whose gradients are accumulated; 1 if the loss needs all rows at once.
        steps: Optimiser steps.
        evaluation_interval: Steps between two measurements on dev; there is always one after the last step.
        seed: Determines the order of the rows.
    """

    rows: int
    batch_size: int
    micro_batches: int
    steps: int
    evaluation_interval: int
    seed: int

    def epoch(self, step: int) -> float:
        """Return how many times the rows were seen after `step` steps."""
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
    """Return the number of rows per optimiser step.

    The recipe's rule: its default of 128 becomes max(16, min(64, rows // 8)) below 2,000 rows, so that a small set
    still gets enough steps. A batch is never larger than the number of rows.
    """
    size = configured
    if configured == RECIPE_BATCH and rows < SMALL_ROWS:
        size = max(16, min(64, rows // 8))
    return min(size, rows)


def plan_training(rows: int, settings: TrainSettings, seed: int) -> TrainingPlan:
    """Plan the steps of a run.

    Args:
        rows: Number of training rows, at least 1.
        settings: Batch size, epochs, loss and measurements.
        seed: Determines the order of the rows.
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
