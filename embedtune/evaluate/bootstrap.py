"""Intervals of means by bootstrap: the queries are resampled with replacement, many times."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from embedtune.core.records.evaluation import Interval

DRAWS_AT_ONCE = 4_000_000  # resampled query numbers kept in memory: 32 MB
DECIMALS = 6  # of stored values; verdicts are decided on the stored values, so that readers can check them

Differences = Mapping[str, Mapping[str, Interval]]  # by set and metric


def bootstrap_intervals(
    values: npt.NDArray[np.float64], samples: int, confidence: float, seed: int
) -> list[Interval]:
    """Return the mean of each column and its percentile bootstrap interval.

    All columns share the same resamples. For a paired comparison the values are differences: the interval then
    accounts for both systems answering the same queries (Efron's percentile method; Sakai 2006 for retrieval).

    Args:
        values: Shape (queries, columns), at least one query.
        samples: Number of resamples.
        confidence: Width of the interval, for example 0.95.
        seed: Seed of the draws.
    """
    means = _resampled_means(values, samples, seed)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    rows = np.round(np.stack([values.mean(axis=0), low, high], axis=1), DECIMALS) + 0.0  # no -0.0
    return [Interval(mean=mean, low=low, high=high) for mean, low, high in rows.tolist()]


def _resampled_means(values: npt.NDArray[np.float64], samples: int, seed: int) -> npt.NDArray[np.float64]:
    """Return the mean of each column in each resample, shape (samples, columns).

    The count of each query in each resample, times the values, is one matrix product: no resample is materialised.
    """
    rng = np.random.default_rng(seed)
    queries = len(values)
    means = np.empty((samples, values.shape[1]))
    at_once = max(1, DRAWS_AT_ONCE // queries)
    for start in range(0, samples, at_once):
        size = min(at_once, samples - start)
        drawn = rng.integers(0, queries, (size, queries)) + np.arange(size)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries)
        means[start : start + size] = counts @ values / queries
    return means


def paired_intervals(
    ours: Sequence[dict[str, float]],
    theirs: Sequence[dict[str, float]],
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Return the interval of the mean difference ours - theirs of each metric; rows are paired by position."""
    names = list(ours[0])
    differences = np.array(
        [[a[name] - b[name] for name in names] for a, b in zip(ours, theirs, strict=True)], dtype=np.float64
    )
    return dict(zip(names, bootstrap_intervals(differences, samples, confidence, seed), strict=True))
