"""Vectors of a few passages, by which an endpoint tells which queries are far from everything in the corpus."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ArtifactError
from embedtune.core.npz import read_arrays, write_arrays

CORPUS_SAMPLE_FILE = "corpus_sample.npz"
# 256 of 13,977 passages of FiQA, and of 1,400 of Cranfield, tell people's questions about one from those about the
# other (docs/experiments.md); more say little more, and each costs the gateway time per query.
PASSAGES = 256
FAR_SHARE = 0.05  # of the questions that were written about the corpus, this share is called far from it


@dataclass(frozen=True)
class CorpusSample:
    """A sample of the passages, and how close to it questions about them are.

    Args:
        passages: One unit vector per passage, of the full dimension.
        sizes: Sizes of vectors.
        far_below: For each size, the cosine similarity with the nearest passage of the sample that only a share of
            `FAR_SHARE` of the questions is below.
    """

    passages: Vectors
    sizes: Sequence[int]
    far_below: Sequence[float]

    def far(self, queries: Vectors) -> npt.NDArray[np.bool_] | None:
        """Return which queries are far from the corpus; None: vectors of this size are not known.

        Args:
            queries: One unit vector per query.
        """
        if queries.shape[1] not in self.sizes:
            return None
        return nearest(queries, self.passages) < self.far_below[self.sizes.index(queries.shape[1])]


def sample_of(passages: Vectors, questions: Vectors, sizes: Sequence[int]) -> CorpusSample:
    """Return the sample that some passages and questions make.

    Args:
        passages: One vector per passage of the sample.
        questions: One vector per question about the whole corpus.
        sizes: Sizes of vectors that clients can ask for.
    """
    stored: Vectors = passages.astype(np.float16).astype(np.float32)
    far_below = [float(np.quantile(nearest(cut(questions, size), stored), FAR_SHARE)) for size in sizes]
    return CorpusSample(stored, tuple(sizes), far_below)


def nearest(queries: Vectors, passages: Vectors) -> Vectors:
    """Return the cosine similarity of each query with the passage nearest to it.

    Args:
        queries: Unit vectors; may be shorter than those of the passages, which are then cut too.
        passages: Vectors.
    """
    found: Vectors = (queries @ cut(passages, queries.shape[1]).T).max(axis=1)
    return found


def cut(vectors: Vectors, size: int) -> Vectors:
    """Return the first dimensions of vectors at unit length; 0 stays 0."""
    short = vectors[:, :size]
    norms = np.linalg.norm(short, axis=1, keepdims=True)
    return np.asarray(short / np.where(norms > 0, norms, 1), dtype=np.float32)


def write_corpus_sample(file: Path, sample: CorpusSample) -> None:
    """Write a sample; its passages take two bytes per number."""
    write_arrays(
        file,
        {
            "passages": sample.passages.astype(np.float16),
            "sizes": np.array(sample.sizes, np.int32),
            "far_below": np.array(sample.far_below, np.float32),
        },
    )


def read_corpus_sample(file: Path) -> CorpusSample:
    """Read a sample.

    Raises:
        ArtifactError: It is not one.
    """
    arrays = read_arrays(file, ("passages", "sizes", "far_below"), "a sample of a corpus")
    passages, sizes, far_below = arrays["passages"], arrays["sizes"], arrays["far_below"]
    fits = passages.ndim == 2 and len(passages) and sizes.ndim == 1 and sizes.shape == far_below.shape
    if not fits or not all(1 <= size <= passages.shape[1] for size in sizes):
        raise ArtifactError(f"{file} is not a sample of a corpus", got=f"shapes {passages.shape}, {sizes.shape}")
    return CorpusSample(passages.astype(np.float32), tuple(map(int, sizes)), tuple(map(float, far_below)))
