"""The dev questions: nDCG@10 on questions that are not trained on, used to pick the best checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import autocast, device_of
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.beir import Record, read_retrieval_set
from embedtune.core.retrieval.exact_search import Indices, top_k
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.retrieval.passage_groups import family_of, group_of, ndcg_by_query, search_depth
from embedtune.core.retrieval.sizes import cut
from embedtune.train.dev_pool import choose_pool, nearest_depth

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BY_QUESTION = f"{DECIDING_METRIC}_by_question"
PASSAGES_AT_ONCE = 65_536  # vectors in memory


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
    """The questions of the dev split.

    Models are measured on the whole corpus, checkpoints on a pool of it if it is large (`narrow`).

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
        self._pool: list[Record] | None = None

    def __call__(self, model: "SentenceTransformer", *_when: object) -> dict[str, Any]:
        """Measure a checkpoint; this is the signature that the trainer of sentence-transformers expects.

        The trainer writes what is returned to its log, which is part of each checkpoint.
        """
        values = self._among_pool(LiveEncoder(model, self._contract, self._runtime), SilentProgress())
        return {DECIDING_METRIC: mean(values), BY_QUESTION: values}

    def __len__(self) -> int:
        """Return the number of questions."""
        return len(self._data.queries)

    @property
    def families(self) -> dict[str, str]:
        """The document family of each question: that of the first passage, by id, that answers it."""
        family = family_of(self._data.corpus)
        return {query: family[min(judged)] for query, judged in self._data.qrels.items()}

    @property
    def pool(self) -> int | None:
        """Number of passages that checkpoints are ranked among; None: the whole corpus."""
        return None if self._pool is None else len(self._pool)

    def narrow(self, base: Encoder, size: int, seed: int, progress: Progress) -> None:
        """From now on rank checkpoints among about `size` passages; a corpus that is not larger is used whole.

        Args:
            base: The base model; the passages that it ranks first are in the pool.
            size: Passages wanted.
            seed: Determines which of the other passages are in the pool.
            progress: Updated while texts are encoded.
        """
        corpus = self._data.corpus
        if len(corpus) <= size:
            return
        place = {passage.id: number for number, passage in enumerate(corpus)}
        positives = [place[passage] for judged in self._data.qrels.values() for passage in judged]
        depth = nearest_depth(size, len(self._data.queries))
        (_, nearest), *_ = self._search(base, corpus, self._contract.dimensions[:1], depth, progress)
        self._pool = [corpus[number] for number in choose_pool(len(corpus), size, positives, nearest, seed)]

    def measure(self, encoder: Encoder, progress: Progress) -> dict[int, float]:
        """Return nDCG@10 on the whole corpus for each vector size of the contract, in its order."""
        sizes, corpus = self._contract.dimensions, self._data.corpus
        found = self._search(encoder, corpus, sizes, self._depth, progress)
        return {size: mean(self._ndcg(corpus, *ranking)) for size, ranking in zip(sizes, found, strict=True)}

    def measure_checkpoint(self, encoder: Encoder, progress: Progress) -> float:
        """Return nDCG@10 at full size among the passages of the pool."""
        return mean(self._among_pool(encoder, progress))

    def _among_pool(self, encoder: Encoder, progress: Progress) -> dict[str, float]:
        passages = self._data.corpus if self._pool is None else self._pool
        (ranking,) = self._search(encoder, passages, self._contract.dimensions[:1], self._depth, progress)
        return self._ndcg(passages, *ranking)

    def _search(
        self, encoder: Encoder, passages: Sequence[Record], sizes: Sequence[int], k: int, progress: Progress
    ) -> list[tuple[Vectors, Indices]]:
        """Return scores and passages of the best k at each vector size; one block of vectors is in memory."""
        queries = encoder.encode_queries([query.text for query in self._data.queries], progress)
        device = device_of(self._runtime)
        empty = np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64)
        found = [empty for _ in sizes]
        for start in range(0, len(passages), PASSAGES_AT_ONCE):
            texts = [passage.text for passage in passages[start : start + PASSAGES_AT_ONCE]]
            vectors = encoder.encode_passages(texts, progress)
            for number, size in enumerate(sizes):
                scores, indices = top_k(cut(queries, size), cut(vectors, size), k, device=device)
                found[number] = _best(found[number], (scores, indices + start), k)
        return found

    def _ndcg(self, passages: Sequence[Record], scores: Vectors, indices: Indices) -> dict[str, float]:
        run = {
            query.id: {passages[i].id: float(s) for i, s in zip(found, values, strict=True)}
            for query, found, values in zip(self._data.queries, indices.tolist(), scores.tolist(), strict=True)
        }
        return ndcg_by_query(run, self._data)


def mean(values: Mapping[str, float]) -> float:
    """Return the mean over the questions."""
    return math.fsum(values.values()) / len(values)


def _best(left: tuple[Vectors, Indices], right: tuple[Vectors, Indices], k: int) -> tuple[Vectors, Indices]:
    """Return the best k of two rankings: descending score, then ascending index."""
    scores, indices = np.hstack([left[0], right[0]]), np.hstack([left[1], right[1]])
    order = np.lexsort((indices, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)
