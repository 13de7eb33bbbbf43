"""The exported encoder: a tokenizer file and a graph. It needs neither torch nor transformers."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import load_contract
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ConfigError
from embedtune.core.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Integers = npt.NDArray[np.int64]
INPUTS = ("input_ids", "attention_mask", "dimensions")
OUTPUT = "embeddings"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
# On a CPU the fused operator is slower: ONNX Runtime 1.32 adds and normalises faster in two steps.
SLOW_FUSIONS = ["SkipLayerNormFusion"]
BLOCK = 512  # texts that are sorted by length together


def usable_cores() -> int:
    """Return how many cores this process may use; macOS does not say, so there it is all of them."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Graph(Protocol):
    """An exported graph that can be run."""

    def __call__(self, input_ids: Integers, attention_mask: Integers, dimensions: Integers) -> Vectors:
        """Return one unit vector per row."""


class OnnxGraph:
    """An ONNX file, run by ONNX Runtime.

    Args:
        path: The file.
        device: "cpu", "cuda", or "auto" for the GPU if this ONNX Runtime supports one.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import onnxruntime

        providers = _providers(device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        # By default ONNX Runtime counts all cores of the machine, including those that this process may not use.
        options.intra_op_num_threads = usable_cores()
        gpu = len(providers) > 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=providers, disabled_optimizers=[] if gpu else SLOW_FUSIONS
        )

    def __call__(self, input_ids: Integers, attention_mask: Integers, dimensions: Integers) -> Vectors:
        """Return one unit vector per row."""
        feed = dict(zip(INPUTS, (input_ids, attention_mask, dimensions), strict=True))
        vectors: Vectors = self._session.run([OUTPUT], feed)[0]
        return vectors


class OnnxEncoder:
    """An engine directory as an encoder.

    Args:
        engine: Directory with graph, tokenizer.json and embedtune.json.
        runtime: Device and batch size.
        graph: The graph to run instead of the engine's model.onnx.
    """

    def __init__(self, engine: Path, runtime: RuntimeSettings, graph: Graph | None = None) -> None:
        self.engine = engine
        self.contract = load_contract(engine)
        self._batch_size = runtime.encode_batch_size
        self._tokenizer = load_tokenizer(engine)
        self._graph = graph or OnnxGraph(engine / MODEL_FILE, runtime.device)

    @property
    def fingerprint(self) -> str:
        """Identifies the graph, the weights and the contract."""
        files = [file_sha256(file) for file in sorted(self.engine.glob("model.*"))]
        return hashlib.sha256(json.dumps([self.contract.hash, *files]).encode()).hexdigest()[:16]

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries, with the prefix."""
        return self._encode([self.contract.query_prefix + text for text in texts], "queries", progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages, with the prefix."""
        return self._encode([self.contract.passage_prefix + text for text in texts], "passages", progress)

    def encode_batch(self, texts: Sequence[str], dimensions: Sequence[int]) -> Vectors:
        """Encode one batch as it is: without adding prefixes, and in the given order.

        Args:
            texts: Texts with their prefixes.
            dimensions: Number of dimensions wanted per row; the others are 0.
        """
        return self._graph(*token_arrays(self._tokenizer, texts), np.array(dimensions, dtype=np.int64))

    def _encode(self, texts: list[str], unit: str, progress: Progress) -> Vectors:
        size = self.contract.dimensions[0]
        out = np.empty((len(texts), size), dtype=np.float32)
        with progress.task("embed", len(texts), unit) as task:
            for start in range(0, len(texts), BLOCK):
                numbers = range(start, min(start + BLOCK, len(texts)))
                order = sorted(
                    numbers, key=lambda number: -len(texts[number])
                )  # neighbours of similar length need little padding
                for first in range(0, len(order), self._batch_size):
                    rows = order[first : first + self._batch_size]
                    out[rows] = self.encode_batch([texts[row] for row in rows], [size] * len(rows))
                    task.advance(len(rows))
        return out


def load_tokenizer(engine: Path) -> "Tokenizer":
    """Return an engine's tokenizer; its file defines truncation and padding."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(engine / TOKENIZER_FILE))


def token_arrays(tokenizer: "Tokenizer", texts: Sequence[str]) -> tuple[Integers, Integers]:
    """Return token ids and attention mask of one batch, each of shape (texts, length of the longest)."""
    encodings = tokenizer.encode_batch_fast(list(texts))
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    return ids, mask


def _providers(device: str, available: Sequence[str]) -> list[str]:
    gpu = "CUDAExecutionProvider" in available
    if device == "cuda" and not gpu:
        raise ConfigError(
            "this ONNX Runtime cannot use a GPU",
            got=", ".join(available),
            expected="CUDAExecutionProvider",
            fix="set runtime.device=cpu, or install onnxruntime-gpu in place of onnxruntime",
        )
    return [*(["CUDAExecutionProvider"] if gpu and device != "cpu" else []), "CPUExecutionProvider"]
