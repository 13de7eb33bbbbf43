"""Intervals: exact where the answer is known, plausible where it is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.evaluate import bootstrap
from embedtune.evaluate.bootstrap import bootstrap_intervals, paired_intervals
from tests.support.evaluation_records import interval


def test_a_constant_difference_has_no_width():
    values = np.full((40, 2), 0.25)
    assert bootstrap_intervals(values, 500, 0.95, seed=1) == [interval(0.25, 0.25, 0.25)] * 2


def test_no_difference_is_exactly_zero():
    ours = [{"ndcg@10": value} for value in (0.1, 0.7, 1 / 3)]
    assert paired_intervals(ours, ours, 500, 0.95, seed=1)["ndcg@10"] == interval(0.0, 0.0, 0.0)


def test_pairing_ignores_how_hard_the_queries_are():
    theirs = [{"m": value} for value in np.linspace(0, 0.9, 30)]
    ours = [{"m": row["m"] + 0.1} for row in theirs]
    assert paired_intervals(ours, theirs, 500, 0.95, seed=1)["m"] == interval(0.1, 0.1, 0.1)


def test_one_query_of_two_gives_the_known_distribution():
    # Means of two draws from {0, 1} are 0, 0.5 and 1 with probabilities 1/4, 1/2 and 1/4.
    values = np.array([[0.0], [1.0]])
    assert bootstrap_intervals(values, 20_000, 0.95, seed=3) == [interval(0.5, 0.0, 1.0)]
    assert bootstrap_intervals(values, 20_000, 0.51, seed=3)[0] == interval(0.5, 0.0, 1.0)
    means = bootstrap._resampled_means(values, 20_000, seed=3)
    assert np.mean(means == 0.5) == pytest.approx(0.5, abs=0.02)


def test_the_width_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).normal(0.1, 0.3, (400, 1))
    (found,) = bootstrap_intervals(values, 10_000, 0.95, seed=0)
    error = values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(0).normal(0, 1, (50, 1))
    first = bootstrap_intervals(values, 300, 0.9, seed=7)
    assert bootstrap_intervals(values, 300, 0.9, seed=7) == first
    assert bootstrap_intervals(values, 300, 0.9, seed=8) != first


def test_drawing_in_blocks_covers_every_sample(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 100)  # 10 queries: blocks of 10 resamples, the last one short
    means = bootstrap._resampled_means(np.ones((10, 1)), 25, seed=0)
    assert means.tolist() == [[1.0]] * 25


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 5))
def test_the_interval_lies_within_the_values_and_wider_confidence_contains_narrower(values, seed):
    column = np.array(values)[:, None]
    (narrow,) = bootstrap_intervals(column, 200, 0.8, seed)
    (wide,) = bootstrap_intervals(column, 200, 0.99, seed)
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    assert min(values) - 1e-6 <= wide.low and wide.high <= max(values) + 1e-6
