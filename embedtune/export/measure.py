"""Run an engine and its variants on the texts and the dev questions, for comparison with PyTorch."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedtune.core.config.export import ExportSettings, Precision
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.onnx import MODEL_FILE, OnnxEncoder, OnnxGraph
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.exact_search import top_k
from embedtune.core.retrieval.passage_groups import group_of, mean_ndcg, search_depth
from embedtune.export.int8_cpu import graph_files, write_int8
from embedtune.export.parity import Variant
from embedtune.export.parity_texts import Sample
from embedtune.export.tensorrt import PLAN_FILE, TensorrtGraph


@dataclass(frozen=True)
class Case:
    """The reference that every variant is compared with.

    Args:
        samples: Texts in mixed order.
        expected: PyTorch's vectors for them, of full dimension.
        dev: Questions and corpus.
    """

    samples: Sequence[Sample]
    expected: Vectors
    dev: RetrievalSet


def compare_variants(
    engine: Path, settings: ExportSettings, runtime: RuntimeSettings, case: Case, progress: Progress
) -> list[Variant]:
    """Measure an engine; on ONNX Runtime in fp32 also its int8 variant, which replaces it if int8 is configured.

    Args:
        engine: Directory that `export_engine` wrote.
        settings: Target and shipped precision.
        runtime: Device and batch size.
        case: What to compare it with.
        progress: Updated as texts are encoded.
    """
    if settings.target == "tensorrt":
        batch = min(runtime.encode_batch_size, settings.tensorrt_batch)
        runtime = runtime.model_copy(update={"encode_batch_size": batch})
        graph = TensorrtGraph(engine / PLAN_FILE, case.expected.shape[1])
        encoder = OnnxEncoder(engine, runtime, graph)
        return [_measure(settings.precision, encoder, [engine / PLAN_FILE], batch, case, progress)]
    if settings.precision == "fp16":
        encoder = OnnxEncoder(engine, runtime, OnnxGraph(engine / MODEL_FILE, runtime.device))
        files = graph_files(engine / MODEL_FILE)
        return [_measure("fp16", encoder, files, runtime.encode_batch_size, case, progress)]
    full, small = engine / MODEL_FILE, engine / "int8" / MODEL_FILE
    small.parent.mkdir()
    write_int8(full, small, settings.external_data_mb)
    batch = runtime.encode_batch_size
    variants = []
    precisions: tuple[tuple[Precision, Path], ...] = (("fp32", full), ("int8", small))
    for precision, path in precisions:
        encoder = OnnxEncoder(engine, runtime, OnnxGraph(path, runtime.device))
        variants.append(_measure(precision, encoder, graph_files(path), batch, case, progress))
    if settings.precision == "int8":
        for file in graph_files(full):
            file.unlink()
        for file in graph_files(small):
            file.rename(engine / file.name)
    shutil.rmtree(small.parent)
    return variants


def _measure(
    precision: Precision, encoder: OnnxEncoder, files: Sequence[Path], batch: int, case: Case, progress: Progress
) -> Variant:
    return Variant(
        precision,
        sum(file.stat().st_size for file in files) / 1e6,
        text_cosines(encoder, case.samples, case.expected, batch),
        dev_ndcg(encoder, case.dev, progress),
    )


def reference_vectors(encoder: Encoder, samples: Sequence[Sample], progress: Progress) -> Vectors:
    """Return PyTorch's vectors for all samples, at the full dimension."""
    queries = [number for number, sample in enumerate(samples) if sample.kind == "query"]
    passages = [number for number, sample in enumerate(samples) if sample.kind == "passage"]
    by_query = encoder.encode_queries([samples[number].text for number in queries], progress)
    by_passage = encoder.encode_passages([samples[number].text for number in passages], progress)
    vectors = np.empty((len(samples), by_query.shape[1]), dtype=np.float32)
    vectors[queries], vectors[passages] = by_query, by_passage
    return vectors


def text_cosines(
    encoder: OnnxEncoder, samples: Sequence[Sample], expected: Vectors, batch: int
) -> npt.NDArray[np.float64]:
    """Return the cosine of each sample with its expected vector, truncated to the sample's dimension.

    The batches are like those of a server: long and short texts, queries, passages and dimensions mixed.

    Args:
        encoder: The engine.
        samples: In mixed order.
        expected: PyTorch's vectors of full dimension.
        batch: Number of texts in one batch.
    """
    cosines = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        texts = [sample.prefixed(encoder.contract) for sample in part]
        got = encoder.encode_batch(texts, [sample.dimension for sample in part])
        for sample, row, full in zip(part, got, expected[start : start + batch], strict=True):
            cosines.append(_cosine(row.astype(np.float64), full.astype(np.float64), sample.dimension))
    return np.array(cosines)


def _cosine(got: npt.NDArray[np.float64], full: npt.NDArray[np.float64], dimension: int) -> float:
    """Return the cosine with the truncated vector; -1 if the row is not a unit vector of this dimension."""
    if not np.isfinite(got).all() or got[dimension:].any() or abs(np.linalg.norm(got) - 1) > 1e-3:
        return -1.0
    expected = full[:dimension]
    return float(got[:dimension] @ expected / np.linalg.norm(expected))


def dev_ndcg(encoder: Encoder, data: RetrievalSet, progress: Progress) -> float | None:
    """Return nDCG@10 over the dev questions and the whole corpus; None if there are no questions."""
    if not data.queries:
        return None
    queries = encoder.encode_queries([query.text for query in data.queries], progress)
    passages = encoder.encode_passages([passage.text for passage in data.corpus], progress)
    scores, indices = top_k(queries, passages, search_depth(group_of(data.corpus), 10))
    run = {
        query.id: {data.corpus[i].id: float(s) for i, s in zip(found, values, strict=True)}
        for query, found, values in zip(data.queries, indices.tolist(), scores.tolist(), strict=True)
    }
    return mean_ndcg(run, data)
