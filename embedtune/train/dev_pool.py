"""Which passages checkpoints are ranked among: encoding all of a large corpus for each checkpoint takes too long.

Such a pool flatters a tuned model, which may now find wrong passages that the base model did not: it suffices to
rank the checkpoints of one run among themselves, and for nothing else.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NEAREST = 100  # per question, if they take at most half of the pool
FEWEST = 10  # per question, in any case: nDCG@10 is measured


def nearest_depth(size: int, questions: int) -> int:
    """Return how many of the base model's nearest passages per question are in a pool of `size` passages."""
    return max(FEWEST, min(NEAREST, size // 2 // max(1, questions)))


def choose_pool(
    corpus: int, size: int, positives: Sequence[int], nearest: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.int64]:
    """Return the numbers of the passages to rank among, ascending.

    Args:
        corpus: Number of passages.
        size: Number of passages wanted. Positives and nearest passages are in the pool even if they are more; a
            random sample of the others fills it up.
        positives: The passages that answer a dev question.
        nearest: The base model's nearest passages, shape (questions, depth).
        seed: Determines the sample.
    """
    chosen = np.zeros(corpus, dtype=bool)
    chosen[list(positives)] = True
    chosen[nearest.ravel()] = True
    others = np.flatnonzero(~chosen)
    missing = min(max(0, size - int(chosen.sum())), len(others))
    chosen[np.random.default_rng(seed).choice(others, missing, replace=False)] = True
    return np.flatnonzero(chosen)
