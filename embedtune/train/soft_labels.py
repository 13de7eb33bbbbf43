"""Soft labels: how the base model joined with BM25 ranks the passages of a batch.

    t(q, d) = m(q, d) + w / (1 - w) · r(q) / s(q) · b(q, d)

m is the cosine of the base model and b the score of BM25; r and s are the ranges of both over the first 100
training passages that each finds for q. So both weigh as in core/retrieval/hybrid.py, but in the unit of a cosine,
and passages beyond the first 100 keep their scores. Without the second term the base would be its own teacher.
Joined, both find more than the base alone, so there is something to learn without another model
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
from embedtune.core.retrieval.exact_search import top_k
from embedtune.core.retrieval.hybrid import WEIGHT
from embedtune.train.rows import TrainingRows

DEPTH = 100


class SoftLabels:
    """Scores passages for queries; both must be among those that it was made of.

    Args:
        queries: Distinct texts.
        query_vectors: Their vectors, shape (n, d), of unit length.
        passages: Distinct texts.
        passage_vectors: Their vectors, shape (m, d), of unit length.
        device: Device to search on, "cpu" or "cuda".
    """

    def __init__(
        self,
        queries: Sequence[str],
        query_vectors: Vectors,
        passages: Sequence[str],
        passage_vectors: Vectors,
        device: str = "cpu",
    ) -> None:
        self._queries = {text: place for place, text in enumerate(queries)}
        self._passages = {text: place for place, text in enumerate(passages)}
        self._query_vectors, self._passage_vectors = query_vectors, passage_vectors
        self._words = BM25Index(passages)
        depth = min(DEPTH, len(passages))
        meaning, _ = top_k(query_vectors, passage_vectors, depth, device=device)
        _, words = self._words.search(queries, depth)
        ours, theirs = (found[:, 0] - found[:, -1] for found in (meaning, words))
        scale = np.divide(ours, theirs, out=np.zeros_like(ours), where=theirs > 0)
        self._word_weights = WEIGHT / (1 - WEIGHT) * scale

    def __call__(self, queries: Sequence[str], passages: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the score of each passage for each query, shape (queries, passages)."""
        rows = [self._queries[text] for text in queries]
        columns = [self._passages[text] for text in passages]
        meaning = self._query_vectors[rows] @ self._passage_vectors[columns].T
        words = np.stack([self._words.scores(text)[columns] for text in queries])
        return np.asarray(meaning + self._word_weights[rows, None] * words, dtype=np.float32)


def with_soft_labels(rows: TrainingRows, base: Encoder, device: str, progress: Progress) -> TrainingRows:
    """Return the rows with soft labels for their queries and all passages that they name.

    Args:
        rows: The training rows.
        base: Encoder of the base model.
        device: Device to search on.
        progress: Updated while texts are encoded that are not in the cache.
    """
    queries = list(dict.fromkeys(rows.stored["query"]))
    passages = list(dict.fromkeys(rows.passages.texts()))
    vectors = base.encode_queries(queries, progress), base.encode_passages(passages, progress)
    return replace(rows, soft=SoftLabels(queries, vectors[0], passages, vectors[1], device))
