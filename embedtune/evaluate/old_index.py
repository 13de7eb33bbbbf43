"""The tuned model's queries on an index that still has the base model's vectors (`train.align`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.modules import dense_folders
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress


@dataclass(frozen=True)
class OldIndex:
    """Encodes queries with one model and passages with another.

    Args:
        queries: Encoder of the tuned model.
        passages: Encoder of the base model.
    """

    queries: Encoder
    passages: Encoder

    @property
    def fingerprint(self) -> str:
        """Both models' fingerprints."""
        return f"{self.queries.fingerprint} {self.passages.fingerprint}"

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries with the tuned model."""
        return self.queries.encode_queries(texts, progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages with the base model."""
        return self.passages.encode_passages(texts, progress)


def is_aligned(model: Path, base: Path) -> bool:
    """Return whether a model turns its vectors into the space of its base: it has a Dense module more."""
    return len(dense_folders(model)) > len(dense_folders(base))
