"""The resumable training run: sentence-transformers' trainer with embedtune's plan, losses and schedule."""

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
from transformers import PrinterCallback, TrainerState

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.config.train import TrainSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.precision import compute_of, device_of
from embedtune.core.records.training import DevPoint, TrainingStep
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.stage import Context
from embedtune.train.checkpoint_choice import kept_step
from embedtune.train.collate import Collator
from embedtune.train.dev import DevSet
from embedtune.train.interruption import interruptible
from embedtune.train.loss_in_batch import InBatchLoss
from embedtune.train.loss_own_negatives import OwnNegativesLoss
from embedtune.train.plan import TrainingPlan
from embedtune.train.rows import RowCollator, SoftScores, TrainingRows
from embedtune.train.schedule import optimizer_and_schedule
from embedtune.train.trainer import Trainer
from embedtune.train.training_result import Fit
from embedtune.train.watch import Watch

log = logging.getLogger(__name__)
STATE = "trainer_state.json"


def fit(
    model: SentenceTransformer,
    rows: TrainingRows,
    plan: TrainingPlan,
    dev: DevSet,
    checkpoints: Path,
    context: Context,
) -> Fit:
    """Train a model, starting from the newest complete checkpoint if there is one.

    Args:
        model: Changed in place; the weights to keep are those of the returned checkpoint.
        rows: The training rows.
        plan: Which rows form which step.
        dev: An earlier checkpoint that is clearly better on it is kept instead of the last one.
        checkpoints: Directory for the best and the last checkpoint, in the cache directory.
        context: The configuration, and what receives progress and curves.

    Raises:
        GateError: The loss or the gradient is not finite.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint of the last step was saved.
    """
    config, settings, contract = context.config, context.config.train, context.config.contract
    start = newest_checkpoint(checkpoints)
    name = checkpoints.relative_to(context.cache / "train").as_posix()
    tracked_as = context.tracking.training(name, None if start is None else _step(start))
    shown = context.progress.task("train", plan.steps, "steps")
    # Tracking is outermost: it has to see the KeyboardInterrupt that `interruptible` raises at its end.
    with tracked_as as tracked, interruptible() as interruption, shown as task:
        trainer = Trainer(
            model=model,
            args=_arguments(plan, bool(dev), settings, config.runtime, checkpoints),
            train_dataset=rows.stored,
            loss=build_loss(model, plan, settings, contract),
            # The annotations ask for the library's own classes; any callable will do.
            evaluator=cast(Any, [dev] if dev else None),
            data_collator=cast(
                Any, RowCollator(rows.passages, build_collator(model, settings, contract, rows.soft))
            ),
            optimizers=optimizer_and_schedule(model, settings, plan.steps),
            callbacks=[Watch(task, tracked, settings.checkpoint_steps, interruption)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(SentenceTransformerModelCardCallback)  # embedtune writes its own model card
        if start is not None:
            log.info("training continues from %s", start)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
        seconds = time.monotonic() - started
    done = plan.steps - (0 if start is None else _step(start))
    state = trainer.state
    kept = kept_step(state.best_global_step or plan.steps, plan.steps, state.log_history, dev.families)
    return _result(state, plan, checkpoints / f"checkpoint-{kept}", done * plan.batch_size / seconds)


def build_loss(
    model: SentenceTransformer, plan: TrainingPlan, settings: TrainSettings, contract: EncoderContract
) -> nn.Module:
    """Return the configured loss."""
    dimensions = contract.dimensions if settings.matryoshka else contract.dimensions[:1]
    if settings.loss == "own_negatives":
        scale = plan.micro_batches / plan.batch_size
        return OwnNegativesLoss(model, settings.temperature, dimensions, scale)
    piece = settings.micro_batch_size * (1 + settings.negatives)
    return InBatchLoss(model, settings.temperature, dimensions, piece)


def build_collator(
    model: SentenceTransformer, settings: TrainSettings, contract: EncoderContract, soft: SoftScores | None
) -> Collator:
    """Return the collator that belongs to the configured loss; only the loss "hybrid" has soft labels."""
    return Collator(model.preprocess, contract, settings.negatives, settings.loss != "own_negatives", soft)


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint: the state is written last, so an incomplete one lacks it."""
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
    plan: TrainingPlan, measured: bool, settings: TrainSettings, runtime: RuntimeSettings, checkpoints: Path
) -> SentenceTransformerTrainingArguments:
    device = device_of(runtime)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=plan.steps,
        per_device_train_batch_size=-(-plan.batch_size // plan.micro_batches),
        gradient_accumulation_steps=plan.micro_batches,
        batch_sampler=cast(Any, partial(_planned_batches, plan=plan)),
        max_grad_norm=settings.max_grad_norm,
        bf16=compute_of(runtime) == "bf16",
        eval_strategy="steps" if measured else "no",
        eval_steps=plan.evaluation_interval,
        metric_for_best_model=DECIDING_METRIC if measured else None,
        greater_is_better=True if measured else None,
        save_strategy="steps",
        save_steps=plan.evaluation_interval,
        save_total_limit=2,  # the best one and the last; with 1 the trainer deletes the last one at its end
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would hide a diverged run
        disable_tqdm=True,
        report_to="none",
        seed=plan.seed,
        data_seed=plan.seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
    )
    # One process, one device: if it saw several GPUs, the trainer would split each batch among them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _planned_batches(dataset: Dataset, plan: TrainingPlan, **_settings: object) -> list[list[int]]:
    return plan.batches()


def _result(state: TrainerState, plan: TrainingPlan, kept: Path, rows_per_second: float) -> Fit:
    key = f"eval_{DECIDING_METRIC}"
    # The log of transformers' trainer: dictionaries, some of losses and some of measurements.
    history: list[dict[str, Any]] = state.log_history
    steps = tuple(
        TrainingStep(
            step=entry["step"],
            epoch=round(plan.epoch(entry["step"]), 4),
            loss=entry["loss"],
            lr=entry["learning_rate"],
        )
        for entry in history
        if "loss" in entry
    )
    dev = tuple(
        DevPoint(step=entry["step"], epoch=round(plan.epoch(entry["step"]), 4), ndcg_at_10=entry[key])
        for entry in history
        if key in entry
    )
    return Fit(kept, _step(kept), steps, dev, rows_per_second)
