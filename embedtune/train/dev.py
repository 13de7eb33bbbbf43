"""The dev questions: nDCG@10 on questions that are not trained on, used to pick the best checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import autocast, device_of
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.core.retrieval.exact_search import top_k
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.retrieval.passage_groups import group_of, mean_ndcg, search_depth
from embedtune.core.retrieval.sizes import cut

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class LiveEncoder:
    """Encodes with a model in memory that is being trained: its float32 weights compute as in training.

    Args:
        model: The model.
        contract: Its prefixes are added here.
        runtime: Batch size and precision.
        fingerprint: Of no use: the weights change.
    """

    model: "SentenceTransformer"
    contract: EncoderContract
    runtime: RuntimeSettings
    fingerprint: str = "live"

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries, with the contract's prefix."""
        return self._encode([self.contract.query_prefix + text for text in texts])

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages, with the contract's prefix."""
        return self._encode([self.contract.passage_prefix + text for text in texts])

    def _encode(self, texts: list[str]) -> Vectors:
        with autocast(self.runtime):
            vectors = self.model.encode(texts, batch_size=self.runtime.encode_batch_size, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


class DevSet:
    """The questions of the dev split, searched in the whole corpus.

    Args:
        dataset: Directory of a dataset artifact.
        contract: How texts are embedded.
        runtime: Device and batch size.
    """

    def __init__(self, dataset: Path, contract: EncoderContract, runtime: RuntimeSettings) -> None:
        self._data = read_retrieval_set(dataset, "dev")
        self._depth = search_depth(group_of(self._data.corpus), 10)
        self._contract = contract
        self._runtime = runtime

    def __bool__(self) -> bool:
        """Return whether there are any questions."""
        return bool(self._data.queries)

    def __call__(self, model: "SentenceTransformer", *_when: object) -> dict[str, float]:
        """Measure a model; this is the signature that sentence-transformers' trainer expects of its evaluators."""
        encoder = LiveEncoder(model, self._contract, self._runtime)
        return {DECIDING_METRIC: self.measure(encoder, SilentProgress())[self._contract.dimensions[0]]}

    def measure(self, encoder: Encoder, progress: Progress) -> dict[int, float]:
        """Return nDCG@10 for each vector size of the contract, in its order: the full size first."""
        queries = encoder.encode_queries([query.text for query in self._data.queries], progress)
        passages = encoder.encode_passages([passage.text for passage in self._data.corpus], progress)
        return {size: self._ndcg(cut(queries, size), cut(passages, size)) for size in self._contract.dimensions}

    def _ndcg(self, queries: Vectors, passages: Vectors) -> float:
        scores, indices = top_k(queries, passages, self._depth, device=device_of(self._runtime))
        run = {
            query.id: {self._data.corpus[i].id: float(s) for i, s in zip(found, values, strict=True)}
            for query, found, values in zip(self._data.queries, indices.tolist(), scores.tolist(), strict=True)
        }
        return mean_ndcg(run, self._data)
