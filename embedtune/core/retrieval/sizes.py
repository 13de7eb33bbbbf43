"""Smaller vectors: the first numbers of a vector, at unit length again (Matryoshka, arXiv 2205.13147)."""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def cut(vectors: Vectors, size: int) -> Vectors:
    """Return the vectors cut to their first `size` numbers and normalised again, as a server returns them.

    Args:
        vectors: Shape (n, dimension).
        size: At most the dimension.
    """
    shorter = vectors[:, :size]
    norms = np.linalg.norm(shorter, axis=1, keepdims=True)
    return np.asarray(shorter / np.maximum(norms, 1e-12), dtype=np.float32)
