"""Stage export: write the model as an engine, and prove its vectors against PyTorch, by text and by nDCG@10."""

import logging
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.core.contract import load_contract, require_same
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.onnx import load_tokenizer
from embedtune.core.encoders.precision import in_float32
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.formatting import figure
from embedtune.core.progress import Progress
from embedtune.core.records.base import write_record
from embedtune.core.records.engine import PARITY_FILE
from embedtune.core.retrieval.beir import RetrievalSet, read_records, read_retrieval_set
from embedtune.core.retrieval.corpus_sample import (
    CORPUS_SAMPLE_FILE,
    PASSAGES,
    CorpusSample,
    sample_of,
    write_corpus_sample,
)
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.export.engine import export_engine
from embedtune.export.measure import Case, compare_variants, dev_ndcg, reference_vectors
from embedtune.export.parity import Measurements, require_parity
from embedtune.export.parity_texts import Draw, draw_samples
from embedtune.export.tensorrt import require_tensorrt

log = logging.getLogger(__name__)


def run(model: Path, dataset: Path, output: Path, context: Context) -> StageReport:
    """Export a model, compare it with PyTorch and write the engine artifact.

    Args:
        model: The model artifact.
        dataset: The dataset artifact, which provides the texts and the dev questions of the comparison.
        output: Directory to write the engine artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        ConfigError: This machine cannot build an engine for `export.target`.
        ContractError: The model was made under a different encoder contract, or cannot be served under it.
        GateError: The exported vectors are not the model's.
    """
    this = StageRun("export", output, context)
    config = context.config
    if config.export.target == "tensorrt":
        require_tensorrt()
    inputs = this.read(model=model, dataset=dataset)
    require_same(config.contract, load_contract(model), str(model))
    return this.write(inputs, lambda path: _export(model, dataset, path, context))


def _export(model: Path, dataset: Path, path: Path, context: Context) -> Outcome:
    config, progress = context.config, context.progress
    dev = read_retrieval_set(dataset, "dev")
    calibration = _calibration(dev, config.export.calibration_passages, config.seed)
    export_engine(model, config.contract, path, config.export, calibration)
    queries = read_records(dataset / "queries.jsonl")
    draw = Draw(dev.corpus, queries, load_tokenizer(path), config.contract, config.seed)
    samples = draw_samples(draw, config.export.parity_texts)
    # In float32, whatever the model was measured in: an engine must compute what the saved weights say, and bf16
    # is less exact than the limits of this comparison.
    torch = TorchEncoder(model, config.contract, in_float32(config.runtime), context.cache / "embeddings")
    case = Case(samples, reference_vectors(torch, samples, progress), dev)
    _write_reference(path / "reference.parquet", case)
    if dev.queries:
        sample = _corpus_sample(torch, dev, config, progress)
        write_corpus_sample(path / CORPUS_SAMPLE_FILE, sample)
    ndcg = dev_ndcg(torch, dev, progress)
    variants = compare_variants(path, config.export, config.runtime, case, progress)
    found = Measurements(config.export, samples, len(dev.queries), ndcg, variants)
    write_record(path / PARITY_FILE, found.record())
    require_parity(found)
    metrics = found.metrics()
    log.info("export: %s", ", ".join(f"{name} {figure(value)}" for name, value in metrics.items()))
    return Outcome({"texts": len(samples), "dev_queries": len(dev.queries)}, metrics, found.notes())


def _calibration(dev: RetrievalSet, most: int, seed: int) -> list[str]:
    passages = sorted({passage.text for passage in dev.corpus if passage.text.strip()})
    return random.Random(seed).sample(passages, min(most, len(passages)))


def _corpus_sample(torch: Encoder, dev: RetrievalSet, config: Config, progress: Progress) -> CorpusSample:
    """Return the vectors of some passages, and how close to them the dev questions are."""
    chosen = random.Random(config.seed).sample(dev.corpus, min(PASSAGES, len(dev.corpus)))
    passages = torch.encode_passages([passage.text for passage in chosen], progress)
    questions = torch.encode_queries([query.text for query in dev.queries], progress)
    return sample_of(passages, questions, config.contract.dimensions)


def _write_reference(path: Path, case: Case) -> None:
    columns = {
        "text": [sample.text for sample in case.samples],
        "kind": [sample.kind for sample in case.samples],
        "vector": pa.array(list(case.expected), pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), path)
