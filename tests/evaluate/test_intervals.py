"""Intervals: exact where the answer is known by hand, and right as often as they say where it is not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.evaluate import intervals
from embedtune.evaluate.intervals import DIFFERENCE, MEAN, Sampling, Units, mean_intervals, paired_intervals
from tests.support.evaluation_records import interval

SAMPLING = Sampling(samples=2_000, confidence=0.95, seed=1)
PRECISE = Sampling(samples=100_000, confidence=0.95, seed=1)


def _units(*labels: str) -> Units:
    """Return units from one word per query: the letters are its families, the first is its unit."""
    return Units([tuple(label) for label in labels])


def _one(values, units: Units, sampling: Sampling = SAMPLING, bounds=DIFFERENCE):
    (found,) = mean_intervals(np.array(values, dtype=float)[:, None], units, sampling, bounds)
    return found


def test_six_families_by_hand():
    # Of 64 halves one is empty (1.6 %) and lies beyond both ends; the next 1.6 % are the family with the lowest
    # mean alone. 2.5 % therefore end at that family's mean: the interval is from the lowest family to the highest.
    values = [0.1, 0.3, -0.2, 0.0, 0.1, 0.2, 0.4, 0.5, 0.3, 0.6]
    families = _units("a", "a", "b", "b", "c", "d", "d", "e", "f", "f")  # means 0.2, -0.1, 0.1, 0.3, 0.5, 0.45
    assert _one(values, families, PRECISE) == interval(0.23, -0.1, 0.5, units=6)


def test_seven_families_by_hand():
    # 128 halves: 2.5 % are 3.2 of them. The empty one, {1} and {1, 2} come first, then three halves with mean 2.
    tenths = np.arange(1, 8) / 10
    assert _one(tenths, _units(*"abcdefg"), PRECISE) == interval(0.4, 0.2, 0.6, units=7)


def test_questions_of_one_family_count_as_one_case():
    # Ten copies of each question tell nothing new.
    tenths = np.arange(1, 8) / 10
    copies = _one(np.repeat(tenths, 10), _units(*np.repeat(list("abcdefg"), 10)), PRECISE)
    assert copies == _one(tenths, _units(*"abcdefg"), PRECISE)


@pytest.mark.parametrize(("confidence", "fewest"), [(0.95, 6), (0.99, 8), (0.9, 5), (0.8, 4)])
def test_with_too_few_families_the_interval_is_all_that_is_possible(confidence, fewest):
    sampling = Sampling(2_000, confidence, 1)
    assert sampling.fewest_units == fewest
    few = _units(*"abcdefghij"[: fewest - 1])
    assert _one([0.5] * few.count, few, sampling) == interval(0.5, -1.0, 1.0, units=few.count)
    assert _one([0.5] * few.count, few, sampling, MEAN) == interval(0.5, 0.0, 1.0, units=few.count)
    enough = _units(*"abcdefghij"[:fewest])
    assert _one([0.5] * fewest, enough, sampling) == interval(0.5, 0.5, 0.5, units=fewest)


def test_six_families_that_all_gain_are_a_win_and_five_of_six_are_not():
    six = _units(*"abcdef")
    assert _one([0.1, 0.2, 0.1, 0.3, 0.1, 0.2], six, PRECISE).direction == "up"
    assert _one([0.1, 0.2, 0.1, 0.3, 0.1, 0.0], six, PRECISE).direction == "unsure"


def test_no_difference_is_exactly_zero():
    ours = [{"ndcg@10": value} for value in (0.1, 0.7, 1 / 3) * 3]
    found = paired_intervals(ours, ours, _units(*"abcdefghi"), SAMPLING)
    assert found == {"ndcg@10": interval(0.0, 0.0, 0.0, units=9)}


def test_pairing_ignores_how_hard_the_queries_are():
    theirs = [{"m": value} for value in np.linspace(0, 0.9, 8)]
    ours = [{"m": row["m"] + 0.1} for row in theirs]
    assert paired_intervals(ours, theirs, _units(*"abcdefgh"), SAMPLING)["m"] == interval(0.1, 0.1, 0.1, units=8)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 3)), min_size=8, max_size=8))
def test_it_excludes_0_exactly_when_the_permutation_test_does(sums_and_sizes):
    sums = np.array([total / 10 for total, _ in sums_and_sizes])
    flips = np.array(list(itertools.product((1, -1), repeat=8))) @ sums
    up, down = (float((side * flips >= side * sums.sum() - 1e-9).mean()) for side in (1, -1))
    if min(abs(up - 0.025), abs(down - 0.025)) < 0.004:
        return  # 100,000 random halves do not settle it
    values = [total / size for total, (_, size) in zip(sums, sums_and_sizes, strict=True) for _ in range(size)]
    labels = [name for name, (_, size) in zip("abcdefgh", sums_and_sizes, strict=True) for _ in range(size)]
    found = _one(np.array(values) / 3, _units(*labels), PRECISE)
    assert (found.low > 0, found.high < 0) == (up <= 0.025, down <= 0.025)


def test_questions_of_several_families_widen_it_by_hand():
    # Units a (1, 2), b (3) and c (4); question 2 is about a and c. Deviations 3, 2, -2, -3.
    # Pairs within units: (3 + 2)^2 + 2^2 + 3^2 = 38; across: 2 * (2 * -3) = -12 would narrow it: not used.
    units = _units("a", "ac", "b", "c")
    assert units.count == 3
    assert units.widening(np.array([[3.0], [2.0], [-2.0], [-3.0]])) == pytest.approx([1.0])
    # Deviations 3, 1, -5, 1: within 16 + 25 + 1 = 42, across 2 * 1 = 2. Expected for independent questions:
    # 1 - (4 + 1 + 1)/16 = 10/16 within, 1 - (6 + 2)/16 = 8/16 with those across.
    assert units.widening(np.array([[3.0], [1.0], [-5.0], [1.0]])) == pytest.approx([(44 / 42 * 10 / 8) ** 0.5])
    assert _units("a", "a", "b", "c").widening(np.array([[3.0], [1.0], [-5.0], [1.0]])).tolist() == [1.0]


def test_a_further_passage_of_the_same_family_changes_nothing():
    values = [0.1, 0.2, 0.1, 0.3, 0.1, 0.0, 0.4]
    assert _one(values, _units("aaa", *"bcdefg")) == _one(values, _units(*"abcdefg"))


def _no_change(rng, unit, further, trials=2_000):
    """Return differences whose true mean is 0, shape (questions, trials); a family explains half the variance."""
    effects = rng.standard_normal((max(unit.max(), further.max()) + 1, trials))
    shared = np.where((unit == further)[:, None], effects[unit], (effects[unit] + effects[further]) / 2)
    latent = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal((len(unit), trials))
    grades = np.array([-1, -0.63, -0.37, 0, 0.37, 0.63, 1])  # as nDCG@10 changes: mostly not at all
    return grades[np.searchsorted([-2.0, -1.4, -0.85, 0.85, 1.4, 2.0], latent)]


def _wrong(values, units) -> list[float]:
    found = mean_intervals(values, units, Sampling(999, 0.95, 0), DIFFERENCE)
    return [np.mean([one.direction == side for one in found]) for side in ("up", "down")]


NOMINAL = 0.025 + 3 * (0.025 * 0.975 / 2_000) ** 0.5  # three standard errors of 2,000 trials


@pytest.mark.parametrize("families", [10, 20, 50])
def test_without_a_true_change_it_is_wrong_as_often_as_it_says(families):
    unit = np.repeat(np.arange(families), 3)
    values = _no_change(np.random.default_rng(families), unit, unit)
    assert max(_wrong(values, Units([[str(u)] for u in unit]))) < NOMINAL
    by_question = Units([[str(number)] for number in range(len(unit))])
    assert min(_wrong(values, by_question)) > 2 * 0.025  # what issue 11 found


def test_questions_of_several_families_keep_the_level():
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(50), 3)
    further = np.where(rng.random(len(unit)) < 0.6, rng.integers(0, 50, len(unit)), unit)
    first, second = np.minimum(unit, further), np.maximum(unit, further)
    values = _no_change(rng, first, second)
    assert max(_wrong(values, Units([[str(a), str(b)] for a, b in zip(first, second, strict=True)]))) < NOMINAL
    assert min(_wrong(values, Units([[str(a)] for a in first]))) > NOMINAL  # without the widening


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(0).normal(0, 0.1, 50)
    units = Units([[str(number)] for number in range(50)])
    first = _one(values, units, Sampling(300, 0.9, 7))
    assert _one(values, units, Sampling(300, 0.9, 7)) == first
    assert _one(values, units, Sampling(300, 0.9, 8)) != first


def test_drawing_in_blocks_covers_every_half(monkeypatch):
    units, values = _units(*"abcdefghij"), np.linspace(-0.1, 0.3, 10)
    monkeypatch.setattr(intervals, "DRAWS_AT_ONCE", 70)  # 10 families: blocks of 7 halves, the last one short
    found = _one(values, units)
    assert -0.1 <= found.low < found.mean < found.high <= 0.3


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=12, max_size=30), st.integers(0, 5))
def test_the_interval_lies_within_the_values_and_wider_confidence_contains_narrower(values, seed):
    units = Units([[str(number)] for number in range(len(values))])
    narrow, wide = (_one(values, units, Sampling(2_000, confidence, seed)) for confidence in (0.8, 0.99))
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    assert min(values) - 1e-6 <= wide.low and wide.high <= max(values) + 1e-6
