"""How often each method claims a change where there is none, and finds one that is there (ADR 0013).

    python -m bench.intervals [--trials 4000]

Simulated are differences of nDCG@10 between two systems: 3 questions per family on average, half of the variance
of each from its family (latent correlation 0.5). The true mean is 0 but for the columns "power". Printed are the
shares of trials whose interval lies above and below 0, in percent; nominal is 2.5 each.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from embedtune.evaluate.intervals import DIFFERENCE, Sampling, Units, mean_intervals

Array = npt.NDArray[np.float64]
Ends = tuple[Array, Array]
DRAWS, Z, TAIL = 999, 1.959964, 0.025
GRADES = np.array([-1, -0.63, -0.37, -0.13, 0, 0.13, 0.37, 0.63, 1])
SHARES = {  # of each grade
    "60 % zeros": np.array([2, 4, 6, 8, 60, 8, 6, 4, 2]) / 100,
    "80 % zeros": np.array([1, 2, 3, 4, 80, 4, 3, 2, 1]) / 100,
    # A few large losses against many small gains, mean 0: no change on average, but no symmetry either.
    "lopsided": np.array([2, 3, 4, 0, 58.7385, 27.3615, 4.9, 0, 0]) / 100,
}
SHIFT = 0.1


@dataclass(frozen=True)
class Case:
    """What is simulated: the distribution, the number and sizes of families, the share with a second family."""

    grades: str
    families: int
    skewed: bool
    second: float

    def draw(self, trials: int) -> tuple[Array, list[list[str]]]:
        """Return differences, shape (questions, trials), and the families of each question."""
        rng = np.random.default_rng(self.families)
        weights = 1.0 / np.arange(1, self.families + 1) if self.skewed else np.ones(self.families)
        sizes = np.maximum(1, np.round(weights / weights.sum() * 3 * self.families)).astype(int)
        own = np.repeat(np.arange(self.families), sizes)
        other = np.where(rng.random(len(own)) < self.second, rng.integers(0, self.families, len(own)), own)
        first, second = np.minimum(own, other), np.maximum(own, other)
        effects = rng.standard_normal((self.families, trials))
        shared = (effects[first] + effects[second]) / 2
        latent = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal((len(own), trials))
        # A question of two families would vary less; the mean of lopsided differences would not be 0 then.
        latent /= np.where(first == second, 1.0, np.sqrt(0.75))[:, None]
        cuts = stats.norm.ppf(np.cumsum(SHARES[self.grades])[:-1])
        families = [[str(a), str(b)] for a, b in zip(first, second, strict=True)]
        return GRADES[np.searchsorted(cuts, latent)], families


@dataclass(frozen=True)
class Sums:
    """Differences by unit, of the first family: sums (units, trials), sizes (units,) and the questions."""

    questions: Array
    sums: Array
    sizes: Array

    @property
    def mean(self) -> Array:
        """Mean over the questions, by trial."""
        return self.questions.mean(axis=0)

    @property
    def residuals(self) -> Array:
        """Sums of the deviations from the mean, by unit."""
        return self.sums - self.sizes[:, None] * self.mean

    @property
    def error(self) -> Array:
        """Standard error from the units (CR1)."""
        units = len(self.sizes)
        return np.sqrt((self.residuals**2).sum(axis=0) * units / (units - 1)) / self.sizes.sum()


def _counts(size: int) -> Array:
    rng = np.random.default_rng(0)
    return rng.multinomial(size, np.full(size, 1 / size), DRAWS).astype(float)


def by_question(data: Sums) -> Ends:
    """Percentile bootstrap over questions: what embedtune did before."""
    means = _counts(len(data.questions)) @ data.questions / len(data.questions)
    return tuple(np.quantile(means, [TAIL, 1 - TAIL], axis=0))  # type: ignore[return-value]


def _resampled(data: Sums) -> tuple[Array, Array]:
    counts = _counts(len(data.sizes))
    return counts, counts @ data.sums / (counts @ data.sizes)[:, None]


def percentile(data: Sums) -> Ends:
    """Percentile bootstrap over families."""
    return tuple(np.quantile(_resampled(data)[1], [TAIL, 1 - TAIL], axis=0))  # type: ignore[return-value]


def bca(data: Sums) -> Ends:
    """Bias-corrected and accelerated bootstrap over families (Efron 1987)."""
    means = np.sort(_resampled(data)[1], axis=0)
    without = (data.sums.sum(axis=0) - data.sums) / (data.sizes.sum() - data.sizes)[:, None]
    apart = without.mean(axis=0) - without
    scale = 6 * ((apart**2).sum(axis=0)) ** 1.5
    speed = np.where(scale > 0, (apart**3).sum(axis=0) / np.where(scale > 0, scale, 1), 0)
    below = ((means < data.mean).mean(axis=0) + (means <= data.mean).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    ends = []
    for z in (-Z, Z):
        share = stats.norm.cdf(bias + (bias + z) / (1 - speed * (bias + z)))
        row = np.clip((share * DRAWS).astype(int), 0, DRAWS - 1)
        ends.append(np.take_along_axis(means, row[None], axis=0)[0])
    return ends[0], ends[1]


def bootstrap_t(data: Sums) -> Ends:
    """Studentised bootstrap over families."""
    counts, means = _resampled(data)
    squares = counts @ data.sums**2 - 2 * means * (counts @ (data.sums * data.sizes[:, None]))
    squares += means**2 * (counts @ data.sizes**2)[:, None]
    units = len(data.sizes)
    errors = np.sqrt(np.maximum(squares, 0) * units / (units - 1)) / (counts @ data.sizes)[:, None]
    apart = means - data.mean
    t = np.where(np.abs(apart) < 1e-12, 0.0, apart / np.maximum(errors, 1e-300))
    low, high = np.quantile(t, [TAIL, 1 - TAIL], axis=0, method="lower")
    return data.mean - high * data.error, data.mean - low * data.error


def cr2(data: Sums) -> Ends:
    """Cluster-robust t: CR2 with Satterthwaite's degrees of freedom (Bell and McCaffrey 2002)."""
    share = data.sizes / data.sizes.sum()
    error = np.sqrt((data.residuals**2 / (1 - share)[:, None]).sum(axis=0)) / data.sizes.sum()
    pairs = np.outer(share**2 / (1 - share), share**2 / (1 - share))
    freedom = 1 / ((share**2).sum() + pairs.sum() - np.trace(pairs))
    half = stats.t.ppf(1 - TAIL, freedom) * error
    return data.mean - half, data.mean + half


METHODS: dict[str, Callable[[Sums], Ends]] = {
    "by question": by_question,
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
    "CR2 t": cr2,
}


def _ours(values: Array, units: Units) -> Ends:
    found = mean_intervals(values, units, Sampling(DRAWS, 1 - 2 * TAIL, 0), DIFFERENCE)
    return np.array([one.low for one in found]), np.array([one.high for one in found])


def _shares(ends: Ends) -> str:
    return f"{100 * (ends[0] > 0).mean():.1f}/{100 * (ends[1] < 0).mean():.1f}"


def measure(case: Case, trials: int) -> list[str]:
    """Return one row of the table."""
    values, families = case.draw(trials)
    firsts, index = np.unique([names[0] for names in families], return_inverse=True)
    member = np.eye(len(firsts))[index]
    data = Sums(values, member.T @ values, member.sum(axis=0))
    cells = [_shares(method(data)) for method in METHODS.values()]
    cells.append(_shares(_ours(values, Units([names[:1] for names in families]))))
    cells.append(_shares(_ours(values, Units(families))))
    shifted = Sums(values + SHIFT, data.sums + SHIFT * data.sizes[:, None], data.sizes)
    power = [(cr2(shifted)[0] > 0).mean(), (_ours(values + SHIFT, Units(families))[0] > 0).mean()]
    return [*cells, *(f"{100 * share:.0f}" for share in power)]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    columns = [*METHODS, "halves, first family", "halves", "power CR2 t", "power halves"]
    print("| differences | sizes | second family | families | " + " | ".join(columns) + " |")
    print("|" + "---|" * (4 + len(columns)))
    for grades in SHARES:
        for skewed, second in ((False, 0.0), (True, 0.0), (False, 0.3), (True, 0.6)):
            for families in (10, 20, 50, 200):
                row = measure(Case(grades, families, skewed, second), trials)
                sizes = "skewed" if skewed else "equal"
                print(f"| {grades} | {sizes} | {second:.0%} | {families} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
