"""The encoder that runs a sentence-transformers model under a contract."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.attention import require_attention
from embedtune.core.encoders.loading import load_error, require_all_weights
from embedtune.core.encoders.model_files import require_sizes
from embedtune.core.encoders.modules import dense_folders
from embedtune.core.encoders.precision import (
    autocast,
    compute_of,
    device_of,
    vector_marks,
)
from embedtune.core.encoders.vector_cache import VectorCache, Vectors, vector_key
from embedtune.core.encoders.vector_file import VectorFile
from embedtune.core.progress import Progress, Task
from embedtune.core.records.base import read_record
from embedtune.core.records.base_vectors import BASE_VECTORS_FILE, BaseVectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

log = logging.getLogger(__name__)
BLOCK = 512  # texts per commit of the cache
MEASURABLE = 32  # passages below which their speed says little


class TorchEncoder:
    """A sentence-transformers model under a contract.

    Args:
        path: Model directory with safetensors weights.
        contract: Prefixes, pooling and maximum length; they override those in the directory.
        runtime: Device, batch size, precision and attention.
        cache: Directory of the vector cache; None: no cache.
        ready: Directory of vectors that another task has computed, used in addition to the cache; None: there are
            none.
    """

    def __init__(
        self,
        path: Path,
        contract: EncoderContract,
        runtime: RuntimeSettings,
        cache: Path | None = None,
        ready: Path | None = None,
    ) -> None:
        self.path = path
        self.contract = contract
        self.runtime = runtime
        self.cache = cache
        self.ready = ready
        self._fingerprint: str | None = None
        self._vectors: VectorCache | None = None
        self._ready: VectorFile | None = None
        self._model: SentenceTransformer | None = None
        self._fresh = (0, 0.0)  # texts that were encoded, and in how many seconds
        self._fresh_passages = (0, 0.0)

    @property
    def model(self) -> "SentenceTransformer":
        """The loaded model."""
        if self._model is None:
            self._model = load_model(self.path, self.contract, self.runtime)
        return self._model

    @property
    def fingerprint(self) -> str:
        """Identifies the weights, the contract and the precision."""
        if self._fingerprint is None:
            files = sorted(self.path.glob("*.safetensors")) + [
                file for folder in dense_folders(self.path) for file in sorted(folder.glob("*.safetensors"))
            ]
            weights = [file_sha256(file) for file in files]
            text = json.dumps([self.contract.hash, *weights, *vector_marks(self.path, self.runtime)])
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._fingerprint

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries, with the prefix."""
        return self._encode(texts, self.contract.query_prefix, "queries", progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages, with the prefix."""
        texts_before, seconds_before = self._fresh
        vectors = self._encode(texts, self.contract.passage_prefix, "passages", progress)
        count, seconds = self._fresh_passages
        self._fresh_passages = (
            count + self._fresh[0] - texts_before,
            seconds + self._fresh[1] - seconds_before,
        )
        return vectors

    @property
    def passages_per_second(self) -> float | None:
        """Speed over the passages that no cache held, without loading; None if there were too few to say."""
        count, seconds = self._fresh_passages
        return count / seconds if count >= MEASURABLE and seconds > 0 else None

    def _encode(self, texts: Sequence[str], prefix: str, unit: str, progress: Progress) -> Vectors:
        out = np.empty((len(texts), self.contract.dimensions[0]), dtype=np.float32)
        with progress.task("embed", len(texts), unit) as task:
            for start in range(0, len(texts), BLOCK):
                block = [prefix + text for text in texts[start : start + BLOCK]]
                out[start : start + len(block)] = self._encode_cached(block, task)
        return out

    def _encode_cached(self, texts: list[str], task: Task) -> Vectors:
        """Return the vectors; those in the cache are skipped."""
        if self.cache is None:
            return self._encode_block(texts, task)
        if self._vectors is None:
            self._vectors = VectorCache(self.cache, self.runtime.vector_cache_gb * 1e9)
            self._ready = self._open_ready()
        keys = [vector_key(self.fingerprint, text) for text in texts]
        known = {} if self._ready is None else self._ready.get(keys)
        known |= self._vectors.get([key for key in keys if key not in known])
        missing = [number for number, key in enumerate(keys) if key not in known]
        task.skip(len(texts) - len(missing))
        if missing:
            fresh = self._encode_block([texts[number] for number in missing], task)
            self._vectors.put([keys[number] for number in missing], fresh)
            known.update((keys[number], vector) for number, vector in zip(missing, fresh, strict=True))
        return np.stack([known[key] for key in keys])

    def _open_ready(self) -> VectorFile | None:
        if self.ready is None:
            return None
        record = read_record(self.ready / BASE_VECTORS_FILE, BaseVectors)
        if self.fingerprint not in record.fingerprints:
            log.warning(
                "%s has no vectors of this model in this precision, so all are computed here: it has those of %s, "
                "this encoder is %s",
                self.ready,
                ", ".join(record.fingerprints),
                self.fingerprint,
            )
        return VectorFile(self.ready)

    def passage_keys(self, texts: Sequence[str]) -> list[bytes]:
        """Return the key of each passage's vector."""
        return [vector_key(self.fingerprint, self.contract.passage_prefix + text) for text in texts]

    def _encode_block(self, texts: list[str], task: Task) -> Vectors:
        model = self.model
        began = time.perf_counter()
        with autocast(self.runtime), _each_batch(model, task):
            encoded = model.encode(
                texts,
                batch_size=self.runtime.encode_batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        vectors = np.asarray(encoded, dtype=np.float32)
        self._fresh = (self._fresh[0] + len(texts), self._fresh[1] + time.perf_counter() - began)
        if compute_of(self.runtime) == "fp32":
            return vectors
        # Where the last module is a matrix product, its numbers have 8 bits, too few for a unit length.
        norms = np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return np.asarray(vectors / norms, dtype=np.float32)


@contextmanager
def _each_batch(model: "SentenceTransformer", task: Task) -> Iterator[None]:
    """Advance a task after each batch: a block of texts can take minutes on a busy CPU."""
    hook = model[0].register_forward_hook(
        lambda _module, _inputs, batch: task.advance(len(batch["attention_mask"]))
    )
    try:
        yield
    finally:
        hook.remove()


def load_model(path: Path, contract: EncoderContract, runtime: RuntimeSettings) -> "SentenceTransformer":
    """Build the sentence-transformers model of a contract: transformer, pooling, Dense modules, normalisation.

    Args:
        path: A transformers or sentence-transformers directory.
        contract: Pooling and maximum length; they override those in the directory. Dense modules are its own.
        runtime: Device and attention. The weights are float32; in bf16 the caller uses `autocast(runtime)`.

    Raises:
        ConfigError: The model cannot be loaded with `runtime.attention`.
        ContractError: The contract has a different vector size, or its maximum length is too long for the model,
            or the model is causal where the contract's pooling needs tokens that see the whole text. Or the model
            needs code of its own, or lacks weights.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # the stages report their own progress
    kwargs = {"trust_remote_code": contract.trust_remote_code}
    attention = {} if runtime.attention == "auto" else {"attn_implementation": runtime.attention}
    try:
        transformer = Transformer(
            str(path),
            max_seq_length=contract.max_length,
            model_kwargs={**kwargs, "use_safetensors": True, "dtype": "float32", **attention},
            config_kwargs=kwargs,
            processor_kwargs=kwargs,
        )
    except (ImportError, ValueError) as error:
        if (known := load_error(path, runtime, error)) is None:
            raise
        raise known from error
    if not contract.trust_remote_code:
        require_all_weights(path, transformer.model)
    hidden = transformer.get_embedding_dimension()
    dense = [module.float() for module in load_dense(path)]
    size = dense[-1].out_features if dense else hidden
    require_sizes(path, contract, size, _usable_positions(transformer.model))
    pooling = Pooling(hidden, pooling_mode=contract.pooling)
    prompts = {"query": contract.query_prefix, "document": contract.passage_prefix}
    model = SentenceTransformer(
        modules=[transformer, pooling, *dense, Normalize()],
        device=device_of(runtime),
        prompts=prompts,
        similarity_fn_name="dot",
    )
    with autocast(runtime):
        require_attention(path, contract, transformer.model)
    return model


def load_dense(path: Path) -> "list[Dense]":
    """Return the Dense modules of a model directory, which its modules.json names."""
    from sentence_transformers.sentence_transformer.modules import Dense

    return [Dense.load(str(path), subfolder=str(folder.relative_to(path))) for folder in dense_folders(path)]


def _usable_positions(transformer: Any) -> int:
    """Return how many tokens a transformer reads; 0: it does not say."""
    positions = getattr(transformer.config, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return 0
    # Models of RoBERTa's kind count positions from the padding id on: of XLM-RoBERTa's 514, 512 can be used.
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if padding is None else positions - padding - 1
