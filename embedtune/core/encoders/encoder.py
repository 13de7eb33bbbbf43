"""Texts to vectors: the one protocol of all encoders, so that the same code measures every implementation."""

from collections.abc import Sequence
from typing import Protocol

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress


class Encoder(Protocol):
    """Turns queries and passages into float32 vectors of unit length, shape (n, dimension)."""

    @property
    def fingerprint(self) -> str:
        """Identity of the weights and the contract: equal fingerprints give equal vectors."""

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries; the contract's query prefix is added here."""

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode templated passages; the contract's passage prefix is added here."""
