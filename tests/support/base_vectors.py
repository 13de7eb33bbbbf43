"""Artifacts of base vectors with few vectors or none, for tests of those who read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.encoders.vector_file import describe_vectors, new_vector_file


def write_base_vectors(folder: Path, keys: Sequence[bytes], vectors: Vectors, fingerprint: str) -> Path:
    """Write the artifact and return its directory."""
    folder.mkdir()
    with new_vector_file(folder) as file:
        file.add(keys, vectors)
    describe_vectors(folder, len(vectors), vectors.shape[1], [fingerprint])
    return folder


def no_base_vectors(folder: Path) -> Path:
    """Write an artifact without vectors, so that stages compute what they need, and return its directory."""
    return write_base_vectors(folder, [], np.empty((0, 1), dtype=np.float32), "none")
