"""Fine-tune the base model on the mined triplets; keep the checkpoint that is best on the dev questions."""

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from embedtune.core.artifacts import Provenance, StageReport, read_artifact, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract, require_same
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import finished, stage_provenance
from embedtune.train.card import model_card
from embedtune.train.dev import METRIC, DevSet, LiveEncoder
from embedtune.train.outcome import Outcome
from embedtune.train.plan import plan_training
from embedtune.train.rows import read_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)


def run(
    triplets: Path,
    dataset: Path,
    output: Path,
    config: Config,
    progress: Progress,
    secrets: Secrets,
    cache: Path,
) -> StageReport:
    """Train and write the model artifact.

    Args:
        triplets: The triplets artifact.
        dataset: The dataset artifact; its dev split picks the checkpoint.
        output: Where the model artifact shall stand.
        config: The whole configuration.
        progress: Told of every optimiser step.
        secrets: For a base model in an object store.
        cache: Keeps the checkpoints of an unfinished run, from which the next call goes on exactly.

    Raises:
        GateError: There is nothing to train on, rows lack negatives, or the training diverged.
        ContractError: An input or the base model does not fit the configured contract.
    """
    started = time.monotonic()
    inputs = {"triplets": read_artifact(triplets, "triplets"), "dataset": read_artifact(dataset, "dataset")}
    for name, artifact in inputs.items():
        contract = EncoderContract.model_validate(artifact.manifest.config["contract"])
        require_same(config.contract, contract, f"the {name}")
    fingerprints = {name: artifact.fingerprint for name, artifact in inputs.items()}
    provenance = stage_provenance("train", config, fingerprints)
    if report := finished(output, "model", provenance):
        return report
    checkpoints = cache / "train" / _key(provenance)
    base = resolve_base(config.contract, cache, config.storage, secrets)
    before = _measure_base(dataset, base, config, progress, cache)
    outcome, model = _train(triplets, dataset, base, config, progress, checkpoints, before)
    seconds = time.monotonic() - started
    with write_artifact(output, "model", provenance) as draft:
        _write_model(draft.path, model, outcome, config, seconds)
        draft.counts = {"rows": outcome.plan.rows, "steps": outcome.plan.steps}
        draft.report = StageReport("train", outcome.metrics(), outcome.notes(config.train), seconds)
    shutil.rmtree(checkpoints)
    log.info("train: kept step %d of %d", outcome.fit.best_step, outcome.plan.steps)
    return draft.report


def _measure_base(dataset: Path, base: Path, config: Config, progress: Progress, cache: Path) -> dict[int, float]:
    dev = DevSet(dataset, config.contract, config.runtime)
    # The same vectors that mining and evaluation use.
    encoder = TorchEncoder(base, config.contract, config.runtime, cache / "embeddings")
    return dev.measure(encoder, progress) if dev else {}


def _train(
    triplets: Path,
    dataset: Path,
    base: Path,
    config: Config,
    progress: Progress,
    checkpoints: Path,
    before: dict[int, float],
) -> "tuple[Outcome, SentenceTransformer]":
    from embedtune.train.fit import fit
    from embedtune.train.prepare import trainable_model, trained_model

    rows = read_rows(triplets, config.train.negatives)
    plan = plan_training(len(rows), config.train, config.seed)
    dev = DevSet(dataset, config.contract, config.runtime)
    result = fit(trainable_model(base, config), rows, plan, dev, config, checkpoints, progress)
    model = trained_model(result.checkpoint, base, config)
    after = {entry["step"]: entry[METRIC] for entry in result.dev}.get(result.best_step)
    by_size = {} if after is None else {config.contract.dimensions[0]: after}
    if len(before) > 1:
        live = LiveEncoder(model, config.contract, config.runtime.encode_batch_size)
        by_size = dev.measure(live, SilentProgress())
    outcome = Outcome(plan, result, before, by_size, _device_name(config))
    return outcome, model


def _write_model(
    path: Path, model: "SentenceTransformer", outcome: Outcome, config: Config, seconds: float
) -> None:
    from embedtune.train.prepare import uses_bf16

    model.save_pretrained(str(path), create_model_card=False)
    config.contract.save(path)
    record = json.dumps(outcome.record(seconds), indent=1) + "\n"
    (path / "training.json").write_text(record, encoding="utf-8")
    precision = "bf16" if uses_bf16(config) else "fp32"
    card = model_card(config, outcome.plan, outcome.fit.best_step, bool(outcome.fit.dev), precision)
    (path / "README.md").write_text(card, encoding="utf-8")


def _key(provenance: Provenance) -> str:
    record = json.dumps(dataclasses.asdict(provenance), sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _device_name(config: Config) -> str:
    import torch

    device = device_of(config.runtime)
    return str(torch.cuda.get_device_name()) if device == "cuda" else device
