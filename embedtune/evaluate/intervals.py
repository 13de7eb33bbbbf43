"""Intervals of means: the means of random halves of the document families (ADR 0013 compares the methods)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.records.evaluation import Interval

Values = npt.NDArray[np.float64]
DRAWS_AT_ONCE = 4_000_000  # families drawn and held in memory: 32 MB
DECIMALS = 6  # of stored values; verdicts are decided on the stored values, so that readers can check them
DIFFERENCE, MEAN = (-1.0, 1.0), (0.0, 1.0)  # what a metric's difference and mean can be

Differences = Mapping[str, Mapping[str, Interval]]  # by set and metric


@dataclass(frozen=True)
class Sampling:
    """How intervals are computed.

    Args:
        samples: Number of random halves.
        confidence: Width of the intervals, for example 0.95.
        seed: Seed of the draws.
    """

    samples: int
    confidence: float
    seed: int

    @classmethod
    def of(cls, settings: EvaluateSettings, seed: int) -> "Sampling":
        """Return the configured sampling."""
        return cls(settings.interval_samples, settings.confidence, seed)

    @property
    def fewest_units(self) -> int:
        """Units below which no interval can exclude anything: all of n agree by chance with probability 2^-n."""
        return math.ceil(math.log2(2.0 / (1.0 - self.confidence)) - 1e-9)

    @property
    def tail(self) -> int:
        """Halves that may lie beyond each end of an interval, one of which is the set itself."""
        return math.floor((1.0 - self.confidence) / 2.0 * (self.samples + 1) + 1e-9)


class Units:
    """The families that each query belongs to: the first of them is its unit.

    Args:
        families: For each query the families of its passages, in the order of their ids.
    """

    def __init__(self, families: Sequence[Sequence[str]]) -> None:
        self._families = [tuple(dict.fromkeys(names)) for names in families]
        patterns = sorted(set(self._families))
        place = {pattern: number for number, pattern in enumerate(patterns)}
        firsts = sorted({pattern[0] for pattern in patterns})
        unit = {name: number for number, name in enumerate(firsts)}
        self.count = len(firsts)
        self._pattern = np.array([place[names] for names in self._families])
        self._unit = np.array([unit[pattern[0]] for pattern in patterns])
        self._left, self._right = _linked(patterns)

    def of(self, rows: Sequence[int]) -> "Units":
        """Return the units of some of the queries."""
        return Units([self._families[row] for row in rows])

    def sums(self, values: Values) -> Values:
        """Return the sum of each column of `values` (queries, columns) over each unit, shape (units, columns)."""
        return _added(_added(values, self._pattern, len(self._unit)), self._unit, self.count)

    def widening(self, deviations: Values) -> Values:
        """Return by how much questions that share a further family widen the interval of each column, at least 1.

        The variance of a mean is the sum of e_i·e_j over the pairs of questions that may be correlated. Units see
        the pairs within a unit; questions of several families are also correlated across units. The ratio of both
        sums is that of the variances (Cameron, Gelbach and Miller 2011; Aronow, Samii and Assenova 2015). Each is
        divided by its expectation for independent questions, since deviations from the mean add up to 0.

        Args:
            deviations: Differences from the mean of each column, shape (queries, columns).
        """
        if not len(self._left):
            return np.ones(deviations.shape[1])
        ones = np.ones((len(deviations), 1))
        within, across = self._pair_sums(deviations)
        pairs_within, pairs_across = (float(part[0]) / len(deviations) ** 2 for part in self._pair_sums(ones))
        free = (1.0 - pairs_within) / max(1.0 - pairs_within - pairs_across, 1.0 / len(deviations))
        some = within > 0
        ratio = np.where(some, (within + across) / np.where(some, within, 1.0), 1.0)
        return np.sqrt(np.maximum(1.0, ratio * free))

    def _pair_sums(self, values: Values) -> tuple[Values, Values]:
        """Return the sums of products over the pairs within a unit, and over those linked across units."""
        patterns = _added(values, self._pattern, len(self._unit))
        units = _added(patterns, self._unit, self.count)
        across = np.zeros(values.shape[1])
        for start in range(0, len(self._left), DRAWS_AT_ONCE // max(1, values.shape[1])):
            part = slice(start, start + DRAWS_AT_ONCE // max(1, values.shape[1]))
            across += 2.0 * (patterns[self._left[part]] * patterns[self._right[part]]).sum(axis=0)
        return (units**2).sum(axis=0), across


def _linked(patterns: Sequence[tuple[str, ...]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pairs of patterns of different units that have a family in common."""
    holders: dict[str, list[int]] = {}
    for number, pattern in enumerate(patterns):
        for family in pattern:
            holders.setdefault(family, []).append(number)
    pairs = {
        pair
        for found in holders.values()
        for pair in combinations(found, 2)
        if patterns[pair[0]][0] != patterns[pair[1]][0]
    }
    array = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _added(values: Values, labels: npt.NDArray[np.int64], size: int) -> Values:
    """Return the sum of the rows that have each label."""
    total = np.zeros((size, values.shape[1]))
    np.add.at(total, labels, values)
    return total


def mean_intervals(
    values: Values, units: Units, sampling: Sampling, bounds: tuple[float, float]
) -> list[Interval]:
    """Return the mean of each column and its interval.

    An interval lies between two quantiles of the means of random halves of the units (each unit is in a half with
    probability 1/2). These are the values m for which a permutation test that flips the signs of whole units does
    not reject "the mean is m" (Hartigan's typical values, 1969): exact for symmetric differences, whatever the
    number and sizes of the units. All columns share the same halves. For a paired comparison the values are
    differences: the interval then accounts for both systems answering the same queries.

    Args:
        values: Shape (queries, columns), at least one query.
        units: The families of the queries.
        sampling: Number of halves, confidence and seed.
        bounds: The least and the largest value there can be; the interval if there are too few units for one.
    """
    mean = values.mean(axis=0)
    if units.count < sampling.fewest_units or sampling.tail < 1:
        low, high = (np.full_like(mean, bound) for bound in bounds)
    else:
        widening = units.widening(values - mean)
        low, high = _typical(units.sums(values), units.sums(np.ones((len(values), 1))), sampling)
        low = np.maximum(mean - widening * (mean - low), bounds[0])
        high = np.minimum(mean + widening * (high - mean), bounds[1])
    rows = np.round(np.stack([mean, low, high], axis=1), DECIMALS) + 0.0  # no -0.0
    return [Interval(mean=mean, low=low, high=high, units=units.count) for mean, low, high in rows.tolist()]


def _typical(sums: Values, counts: Values, sampling: Sampling) -> tuple[Values, Values]:
    """Return the ends of the interval of each column: quantiles of the means of random halves."""
    rng = np.random.default_rng(sampling.seed)
    units, columns = sums.shape
    means = np.empty((sampling.samples, columns))
    at_once = max(1, DRAWS_AT_ONCE // units)
    for start in range(0, sampling.samples, at_once):
        size = min(at_once, sampling.samples - start)
        half = rng.integers(0, 2, (size, units)).astype(np.float64)
        drawn = half @ counts
        with np.errstate(invalid="ignore"):
            means[start : start + size] = np.where(drawn > 0, half @ sums / np.maximum(drawn, 1.0), np.nan)
    # A half without any unit is the set itself in the permutation test: it lies beyond both ends.
    low = np.partition(np.where(np.isnan(means), -np.inf, means), sampling.tail - 1, axis=0)[sampling.tail - 1]
    last = sampling.samples - sampling.tail
    high = np.partition(np.where(np.isnan(means), np.inf, means), last, axis=0)[last]
    return low, high


def paired_intervals(
    ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]], units: Units, sampling: Sampling
) -> dict[str, Interval]:
    """Return the interval of the mean difference ours - theirs of each metric; rows are paired by position."""
    names = list(ours[0])
    differences = np.array(
        [[a[name] - b[name] for name in names] for a, b in zip(ours, theirs, strict=True)], dtype=np.float64
    )
    return dict(zip(names, mean_intervals(differences, units, sampling, DIFFERENCE), strict=True))
