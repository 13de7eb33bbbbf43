"""Soft labels: how the base model joined with BM25 ranks the passages of a batch.

    t(q, d) = z(z(m(q, d)) + 0.5 · z(b(q, d)))

m is the cosine of the base model, b the score of BM25, and z the standard score over a sample of the passages.
Joined, both find more than the base alone, so there is something to learn from them without another model
(docs/experiments.md, "What pays").
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress
from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.train.rows import TrainingRows

WORDS = 0.5  # weight of BM25
SAMPLE = 10_000  # passages that means and deviations are taken from
NO_SPREAD = 1e-6


class SoftLabels:
    """Scores passages for queries; both must be among those that it was made of.

    Args:
        queries: Distinct texts.
        query_vectors: Their vectors, shape (n, d), of unit length.
        passages: Distinct texts.
        passage_vectors: Their vectors, shape (m, d), of unit length.
        seed: Of the sample.
    """

    def __init__(
        self,
        queries: Sequence[str],
        query_vectors: Vectors,
        passages: Sequence[str],
        passage_vectors: Vectors,
        seed: int,
    ) -> None:
        self._queries = {text: place for place, text in enumerate(queries)}
        self._passages = {text: place for place, text in enumerate(passages)}
        self._query_vectors, self._passage_vectors = query_vectors, passage_vectors
        self._words = BM25Index(passages)
        size = min(SAMPLE, len(passages))
        self._sample = np.sort(np.random.default_rng(seed).choice(len(passages), size, replace=False))

    def __call__(self, queries: Sequence[str], passages: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the score of each passage for each query, shape (queries, passages)."""
        columns = np.concatenate([[self._passages[text] for text in passages], self._sample]).astype(np.int64)
        vectors = self._query_vectors[[self._queries[text] for text in queries]]
        meaning = vectors @ self._passage_vectors[columns].T
        words = np.stack([self._words.scores(text)[columns] for text in queries])
        size = len(self._sample)
        joined = _standard(_standard(meaning, size) + WORDS * _standard(words, size), size)
        return joined[:, : len(passages)].astype(np.float32)


def _standard(scores: npt.NDArray[np.float32], sample: int) -> npt.NDArray[np.float32]:
    """Return scores minus their mean, divided by their deviation; both over the last `sample` columns."""
    known = scores[:, -sample:]
    deviation = known.std(axis=1, keepdims=True)
    return np.asarray((scores - known.mean(axis=1, keepdims=True)) / np.maximum(deviation, NO_SPREAD))


def with_soft_labels(rows: TrainingRows, base: Encoder, seed: int, progress: Progress) -> TrainingRows:
    """Return the rows with soft labels for their queries and all passages that they name.

    Args:
        rows: The training rows.
        base: Encoder of the base model.
        seed: Of the sample.
        progress: Updated while texts are encoded that are not in the cache.
    """
    queries = list(dict.fromkeys(rows.stored["query"]))
    passages = list(dict.fromkeys(rows.passages.texts()))
    vectors = base.encode_queries(queries, progress), base.encode_passages(passages, progress)
    return replace(rows, soft=SoftLabels(queries, vectors[0], passages, vectors[1], seed))
