"""The protocol of all encoders, so that the same code can measure every implementation."""

from collections.abc import Sequence
from typing import Protocol

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress


class Encoder(Protocol):
    """Turns queries and passages into float32 vectors of unit length, shape (n, dimension)."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights, the contract and the precision: equal fingerprints mean equal vectors."""

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries; this method adds the contract's query prefix."""

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode rendered passages; this method adds the contract's passage prefix."""
