"""Stage train: tune the base model on the triplets, choose a checkpoint and merge it with the base model."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import require_same
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import Dtype, compute_of, device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.records.base import write_record
from embedtune.core.records.training import SEEDS_FOLDER, TRAINING_FILE
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.stage import Context, Outcome, StageRun, require_same_precision
from embedtune.train.card import model_card
from embedtune.train.dev import DevSet
from embedtune.train.plan import TrainingPlan, plan_training
from embedtune.train.rows import TrainingRows, read_rows
from embedtune.train.soft_labels import with_soft_labels
from embedtune.train.training_result import Fit, Numbers, Pool, Trained

log = logging.getLogger(__name__)


def run(triplets: Path, dataset: Path, output: Path, context: Context) -> StageReport:
    """Train and write the model artifact.

    The cache keeps the checkpoints of an unfinished run; the next call continues from there to the same weights.

    Args:
        triplets: The triplets artifact.
        dataset: The dataset artifact; its dev split picks the checkpoint.
        output: Directory to write the model artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: There is nothing to train on, rows lack negatives, or the training diverged.
        ContractError: An input or the base model does not fit the configured contract.
        ConfigError: The negatives were mined in another precision.
    """
    this = StageRun("train", output, context)
    inputs = this.read(triplets=triplets, dataset=dataset)
    require_same_precision("train", context.config, inputs)
    for name, artifact in inputs.items():
        require_same(context.config.contract, artifact.manifest.contract, f"the {name}")
    checkpoints = context.cache / "train" / this.provenance(inputs).key
    report = this.write(inputs, lambda path: _train_and_write(triplets, dataset, path, checkpoints, context))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return report


def _train_and_write(triplets: Path, dataset: Path, path: Path, checkpoints: Path, context: Context) -> Outcome:
    config = context.config
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    dev = DevSet(dataset, config.contract, config.runtime)
    trained = _train(triplets, dev, base, path, checkpoints, context)
    _describe(path, trained, config)
    log.info("train: kept step %d of %d", trained.fit.best_step, trained.plan.steps)
    counts = {"rows": trained.plan.rows, "steps": trained.plan.steps}
    return Outcome(counts, trained.metrics(), trained.notes())


def _train(triplets: Path, dev: DevSet, base: Path, path: Path, checkpoints: Path, context: Context) -> Trained:
    """Train, write the weights to `path`, and measure those."""
    from embedtune.train.model import saved_dtype

    config = context.config
    before = _measure(dev, base, context, context.base_vectors)
    pool = _rank_on_pool(dev, base, context)
    rows = read_rows(triplets, config.train.negatives)
    if config.train.loss == "hybrid":
        encoder = _encoder(base, context, context.base_vectors)
        rows = with_soft_labels(rows, encoder, device_of(config.runtime), context.progress)
    plan = plan_training(len(rows), config.train, config.seed)
    dtype = saved_dtype(base, config.train)
    result = _fit_and_save(rows, plan, dev, base, dtype, path, checkpoints, context)
    others: dict[int, Fit] = {}
    for seed in range(config.seed + 1, config.seed + config.train.seeds):
        log.info("train: seed %d, of %d seeds in all", seed, config.train.seeds)
        again = replace(plan, seed=seed)
        saved, kept = path / SEEDS_FOLDER / str(seed), checkpoints / SEEDS_FOLDER / str(seed)
        others[seed] = _fit_and_save(rows, again, dev, base, dtype, saved, kept, context)
    numbers = Numbers(compute_of(config.runtime), config.runtime.attention, dtype)
    after = _measure(dev, path, context)
    return Trained(plan, result, before, after, pool, numbers, _device_name(config.runtime), config.train, others)


def _fit_and_save(
    rows: TrainingRows,
    plan: TrainingPlan,
    dev: DevSet,
    base: Path,
    dtype: Dtype,
    path: Path,
    checkpoints: Path,
    context: Context,
) -> Fit:
    """Train with the seed of the plan; the model is out of memory again afterwards."""
    from embedtune.core.encoders.pytorch import load_model
    from embedtune.train.align import aligned
    from embedtune.train.fit import fit
    from embedtune.train.merge import measure_shares, merge_into
    from embedtune.train.model import save_model, trainable_model, trained_model

    config = context.config
    model = trainable_model(base, config, plan.seed)
    result = fit(model, rows, plan, dev, checkpoints, context)
    tuned = trained_model(result.checkpoint, base, config.train.lora, config.contract, config.runtime)
    if share := config.train.base_share:
        untouched = load_model(base, config.contract, config.runtime)
        if dev and plan.seed == config.seed:  # of the model that is kept
            measured = measure_shares(
                tuned, untouched, share, lambda model: float(dev(model)[DECIDING_METRIC]), context.progress
            )
            result = replace(result, shares=measured)
        merge_into(tuned, untouched, share)
    if config.train.align:
        encoder = _encoder(base, context, context.base_vectors)
        tuned = aligned(tuned, encoder, rows.passages, config.contract, config.runtime, context.progress)
    save_model(tuned, dtype, path)
    return result


def _measure(dev: DevSet, model: Path, context: Context, ready: Path | None = None) -> dict[int, float]:
    """Measure a model directory on dev and the whole corpus; the model is out of memory again afterwards.

    Mining and evaluation use the same vectors: of the base model before training, of the tuned model after it.
    """
    return dev.measure(_encoder(model, context, ready), context.progress) if dev else {}


def _rank_on_pool(dev: DevSet, base: Path, context: Context) -> Pool | None:
    """Choose the pool that checkpoints are ranked on, and measure the base model like a checkpoint."""
    if not dev:
        return None
    encoder = _encoder(base, context, context.base_vectors)
    dev.narrow(encoder, context.config.train.dev_passages, context.config.seed, context.progress)
    return None if dev.pool is None else Pool(dev.pool, dev.measure_checkpoint(encoder, context.progress))


def _encoder(model: Path, context: Context, ready: Path | None = None) -> TorchEncoder:
    config = context.config
    return TorchEncoder(model, config.contract, config.runtime, context.cache / "embeddings", ready)


def _describe(path: Path, trained: Trained, config: Config) -> None:
    config.contract.save(path)
    write_record(path / TRAINING_FILE, trained.record())
    bidirectional = json.loads((path / "config.json").read_bytes()).get("is_causal") is False
    card = model_card(config.contract, config.train, trained, bidirectional=bidirectional)
    (path / "README.md").write_text(card, encoding="utf-8")


def _device_name(runtime: RuntimeSettings) -> str:
    import torch

    device = device_of(runtime)
    return str(torch.cuda.get_device_name()) if device == "cuda" else device
