"""The model as an engine, and the proof: every variant against PyTorch, text by text and in nDCG@10."""

import json
import logging
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport, read_artifact, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.contract import load_contract, require_same
from embedtune.core.encoders.onnx import load_tokenizer
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import RetrievalSet, read_records, read_retrieval_set
from embedtune.core.secrets import Secrets
from embedtune.core.stage import finished, stage_provenance
from embedtune.export.engine import export_engine
from embedtune.export.measure import Case, compare_variants, dev_ndcg, reference_vectors
from embedtune.export.parity import Parity, require_parity
from embedtune.export.tensorrt import require_tensorrt
from embedtune.export.texts import Draw, draw_samples

log = logging.getLogger(__name__)


def run(
    model: Path, dataset: Path, output: Path, config: Config, progress: Progress, secrets: Secrets, cache: Path
) -> StageReport:
    """Export a model, compare it with PyTorch and write the engine artifact.

    Args:
        model: The model artifact.
        dataset: The dataset artifact: the texts and the dev questions of the comparison.
        output: Where the engine artifact shall stand.
        config: The whole configuration.
        progress: Told of encoding.
        secrets: Not needed; every stage gets them.
        cache: Keeps PyTorch's vectors.

    Raises:
        ConfigError: This machine cannot build for `export.target`.
        ContractError: The model was made under another encoder contract, or cannot be served under it.
        GateError: The exported vectors are not the model's.
    """
    started = time.monotonic()
    if config.export.target == "tensorrt":
        require_tensorrt()
    inputs = {"model": read_artifact(model, "model"), "dataset": read_artifact(dataset, "dataset")}
    require_same(config.contract, load_contract(model), str(model))
    fingerprints = {name: artifact.fingerprint for name, artifact in inputs.items()}
    provenance = stage_provenance("export", config, fingerprints)
    if report := finished(output, "engine", provenance):
        return report
    dev = read_retrieval_set(dataset, "dev")
    with write_artifact(output, "engine", provenance) as draft:
        export_engine(model, config.contract, draft.path, config.export, _calibration(dev, config))
        samples = draw_samples(_draw(draft.path, dataset, dev, config), config.export.parity_texts)
        torch = TorchEncoder(model, config.contract, config.runtime, cache / "embeddings")
        case = Case(samples, reference_vectors(torch, samples, progress), dev)
        _write_reference(draft.path / "reference.parquet", case)
        ndcg = dev_ndcg(torch, dev, progress)
        variants = compare_variants(draft.path, config, case, progress)
        parity = Parity(config.export, samples, len(dev.queries), ndcg, variants)
        record = json.dumps(parity.record(), indent=1, ensure_ascii=False) + "\n"
        (draft.path / "parity.json").write_text(record, encoding="utf-8")
        require_parity(parity)
        draft.counts = {"texts": len(samples), "dev_queries": len(dev.queries)}
        draft.report = StageReport("export", parity.metrics(), parity.notes(), time.monotonic() - started)
    log.info("export: %s for %s: %s", config.export.precision, config.export.target, draft.report.metrics)
    return draft.report


def _draw(engine: Path, dataset: Path, dev: RetrievalSet, config: Config) -> Draw:
    queries = read_records(dataset / "queries.jsonl")
    return Draw(dev.corpus, queries, load_tokenizer(engine), config.contract, config.seed)


def _calibration(dev: RetrievalSet, config: Config) -> list[str]:
    passages = sorted({passage.text for passage in dev.corpus if passage.text.strip()})
    count = min(config.export.calibration_passages, len(passages))
    return random.Random(config.seed).sample(passages, count)


def _write_reference(path: Path, case: Case) -> None:
    columns = {
        "text": [sample.text for sample in case.samples],
        "kind": [sample.kind for sample in case.samples],
        "vector": pa.array(list(case.expected), pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), path)
