"""The training run itself: sentence-transformers' trainer on our plan, losses and schedule, resumable."""

import json
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardCallback
from torch import nn
from transformers import PrinterCallback

from embedtune.core.config.config import Config
from embedtune.core.encoders.pytorch import device_of
from embedtune.core.progress import Progress
from embedtune.train.collate import Collator
from embedtune.train.dev import METRIC, DevSet
from embedtune.train.in_batch import InBatchLoss
from embedtune.train.outcome import Fit
from embedtune.train.own_negatives import OwnNegativesLoss
from embedtune.train.plan import TrainingPlan
from embedtune.train.prepare import uses_bf16
from embedtune.train.schedule import optimizer_and_schedule
from embedtune.train.trainer import Trainer
from embedtune.train.watch import Watch

log = logging.getLogger(__name__)
STATE = "trainer_state.json"


def fit(
    model: SentenceTransformer,
    rows: Dataset,
    plan: TrainingPlan,
    dev: DevSet,
    config: Config,
    checkpoints: Path,
    progress: Progress,
) -> Fit:
    """Train a model, from the newest complete checkpoint if there is one.

    Args:
        model: Changed in place; the weights to keep are those of the returned checkpoint.
        rows: The training rows.
        plan: Which rows form which step.
        dev: Picks the best checkpoint; if it is empty, the last one is kept.
        config: The configuration.
        checkpoints: Directory for the best and the last checkpoint.
        progress: Told of every step.

    Raises:
        GateError: Loss or gradient is not finite.
    """
    with progress.task("train", plan.steps, "steps") as task:
        trainer = Trainer(
            model=model,
            args=_arguments(plan, bool(dev), config, checkpoints),
            train_dataset=rows,
            loss=build_loss(model, plan, config),
            # Both are duck-typed there, whatever the annotations say.
            evaluator=cast(Any, [dev] if dev else None),
            data_collator=cast(Any, build_collator(model, config)),
            optimizers=optimizer_and_schedule(model, config.train, plan.steps),
            callbacks=[Watch(task)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(SentenceTransformerModelCardCallback)  # the card is ours
        start = newest_checkpoint(checkpoints)
        if start is not None:
            log.info("training goes on from %s", start)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
        seconds = time.monotonic() - started
    done = plan.steps - (0 if start is None else _step(start))
    return _result(trainer.state, plan, checkpoints, done * plan.batch_size / seconds)


def build_loss(model: SentenceTransformer, plan: TrainingPlan, config: Config) -> nn.Module:
    """Return the configured loss."""
    settings = config.train
    dimensions = config.contract.dimensions if settings.matryoshka else config.contract.dimensions[:1]
    if settings.loss == "own_negatives":
        weight = plan.micro_batches / plan.batch_size
        return OwnNegativesLoss(model, settings.temperature, dimensions, weight)
    piece = settings.micro_batch_size * (1 + settings.negatives)
    return InBatchLoss(model, settings.temperature, dimensions, piece)


def build_collator(model: SentenceTransformer, config: Config) -> Collator:
    """Return the collator that belongs to the configured loss."""
    settings = config.train
    return Collator(model.preprocess, config.contract, settings.negatives, settings.loss == "in_batch")


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint: its state is written last, so one that was cut off has none."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=_step)
    return next((path for path in reversed(found) if _is_complete(path)), None)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / STATE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def _arguments(
    plan: TrainingPlan, measured: bool, config: Config, checkpoints: Path
) -> SentenceTransformerTrainingArguments:
    device = device_of(config.runtime)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=plan.steps,
        per_device_train_batch_size=-(-plan.batch_size // plan.micro_batches),
        gradient_accumulation_steps=plan.micro_batches,
        batch_sampler=cast(Any, partial(_planned_batches, plan=plan)),
        max_grad_norm=config.train.max_grad_norm,
        bf16=uses_bf16(config),
        eval_strategy="steps" if measured else "no",
        eval_steps=plan.evaluation_interval,
        metric_for_best_model=METRIC if measured else None,
        greater_is_better=True if measured else None,
        save_strategy="steps",
        save_steps=plan.evaluation_interval,
        save_total_limit=1,  # and the best one, which the trainer never deletes
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would hide a diverged run
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
    )
    # One process, one device: with several GPUs in sight the trainer would split each batch among them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _planned_batches(dataset: Dataset, plan: TrainingPlan, **_settings: object) -> list[list[int]]:
    return plan.batches()


def _result(state: Any, plan: TrainingPlan, checkpoints: Path, rows_per_second: float) -> Fit:
    best_step = state.best_global_step or plan.steps
    key = f"eval_{METRIC}"
    losses = [
        {
            "step": entry["step"],
            "epoch": round(plan.epoch(entry["step"]), 4),
            "loss": entry["loss"],
            "lr": entry["learning_rate"],
        }
        for entry in state.log_history
        if "loss" in entry
    ]
    dev = [
        {"step": entry["step"], "epoch": round(plan.epoch(entry["step"]), 4), METRIC: entry[key]}
        for entry in state.log_history
        if key in entry
    ]
    return Fit(checkpoints / f"checkpoint-{best_step}", best_step, losses, dev, rows_per_second)
