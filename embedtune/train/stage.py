"""Stage train: tune the base model on the triplets; keep the checkpoint that is best on the dev questions."""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.artifacts import Provenance, StageReport
from embedtune.core.config.config import Config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import require_same
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.records.base import write_record
from embedtune.core.records.training import TRAINING_FILE
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.train.card import model_card
from embedtune.train.dev import DevSet, LiveEncoder
from embedtune.train.plan import plan_training
from embedtune.train.rows import read_rows
from embedtune.train.training_result import Trained

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
    """
    this = StageRun("train", output, context)
    inputs = this.read(triplets=triplets, dataset=dataset)
    for name, artifact in inputs.items():
        require_same(context.config.contract, artifact.manifest.contract, f"the {name}")
    checkpoints = context.cache / "train" / _key(this.provenance(inputs))
    report = this.write(inputs, lambda path: _train_and_write(triplets, dataset, path, checkpoints, context))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return report


def _train_and_write(triplets: Path, dataset: Path, path: Path, checkpoints: Path, context: Context) -> Outcome:
    config = context.config
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    dev = DevSet(dataset, config.contract, config.runtime)
    trained, model = _train(triplets, dev, base, checkpoints, context)
    _write_model(path, model, trained, config)
    log.info("train: kept step %d of %d", trained.fit.best_step, trained.plan.steps)
    counts = {"rows": trained.plan.rows, "steps": trained.plan.steps}
    return Outcome(counts, trained.metrics(), trained.notes(config.train))


def _train(
    triplets: Path, dev: DevSet, base: Path, checkpoints: Path, context: Context
) -> "tuple[Trained, SentenceTransformer]":
    from embedtune.train.fit import fit
    from embedtune.train.model import trainable_model, trained_model

    config = context.config
    before, start = _measure_base(dev, base, context)
    rows = read_rows(triplets, config.train.negatives)
    plan = plan_training(len(rows), config.train, config.seed)
    result = fit(trainable_model(base, config), rows, plan, dev, config, checkpoints, context.progress)
    model = trained_model(result.checkpoint, base, config.train.lora, config.contract, config.runtime)
    after = {entry.step: entry.ndcg_at_10 for entry in result.dev}.get(result.best_step)
    by_size = {} if after is None else {config.contract.dimensions[0]: after}
    # Whether training helped is decided on the whole corpus; only checkpoints are ranked on a pool.
    if len(before) > 1 or dev.pool is not None:
        live = LiveEncoder(model, config.contract, config.runtime.encode_batch_size)
        by_size = dev.measure(live, context.progress)
    return Trained(plan, result, before, by_size, start, dev.pool, _device_name(config.runtime)), model


def _measure_base(dev: DevSet, base: Path, context: Context) -> tuple[dict[int, float], float | None]:
    """Measure the base model on the whole corpus and as a checkpoint; it is freed before training starts."""
    if not dev:
        return {}, None
    config = context.config
    # These are the vectors that mining and evaluation use too.
    encoder = TorchEncoder(base, config.contract, config.runtime, context.cache / "embeddings")
    before = dev.measure(encoder, context.progress)
    dev.narrow(encoder, config.train.dev_passages, config.seed, context.progress)
    if dev.pool is None:
        return before, before[config.contract.dimensions[0]]
    return before, dev.measure_checkpoint(encoder, context.progress)


def _write_model(path: Path, model: "SentenceTransformer", trained: Trained, config: Config) -> None:
    from embedtune.train.model import uses_bf16

    model.save_pretrained(str(path), create_model_card=False)
    config.contract.save(path)
    write_record(path / TRAINING_FILE, trained.record())
    precision = "bf16" if uses_bf16(config.train, config.runtime) else "fp32"
    kept, measured = trained.fit.best_step, bool(trained.fit.dev)
    transformer: Any = model[0]
    bidirectional = getattr(transformer.auto_model.config, "is_causal", None) is False
    card = model_card(
        config.contract, config.train, trained.plan, kept, measured, precision, bidirectional=bidirectional
    )
    (path / "README.md").write_text(card, encoding="utf-8")


def _key(provenance: Provenance) -> str:
    parts = (provenance.contract.hash, provenance.settings, provenance.inputs, provenance.code_version)
    record = json.dumps([provenance.seed, *parts], sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _device_name(runtime: RuntimeSettings) -> str:
    import torch

    device = device_of(runtime)
    return str(torch.cuda.get_device_name()) if device == "cuda" else device
