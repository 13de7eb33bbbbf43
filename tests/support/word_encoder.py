"""An encoder whose vectors can be computed by hand: one dimension per word of a small vocabulary."""

from collections.abc import Sequence

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress


class WordEncoder:
    """Counts the words of a vocabulary; vectors have unit length, or are all zeros if no word is in the text."""

    fingerprint = "words"

    def __init__(self, vocabulary: str, broken: str = "") -> None:
        self.vocabulary = vocabulary.split()
        self.broken = broken

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        return self._encode(texts)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        counts = np.array([[text.split().count(word) for word in self.vocabulary] for text in texts], np.float32)
        vectors = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
        for row, text in enumerate(texts):
            if self.broken and self.broken in text:
                vectors[row] = np.nan
        return vectors.astype(np.float32)
