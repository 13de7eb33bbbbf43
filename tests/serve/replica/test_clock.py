"""How closely a replica knows the clock of a store that tells whole seconds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.serve.replica.clock import DRIFT, StoreClock

# The store's clock is 1000.3 s ahead of the monotonic one in these tests; 0.1 s pass until an answer arrives.


def test_one_answer_in_whole_seconds_leaves_a_second_and_its_way_in_doubt() -> None:
    clock = StoreClock().narrowed(1010.0, 1.0, began=10.0, ended=10.1)  # the store's time was 1010.3 to 1010.4
    assert (clock.least, clock.most) == pytest.approx((999.9, 1001.0))


def test_an_answer_with_fractions_leaves_only_its_way_in_doubt() -> None:
    clock = StoreClock().narrowed(1010.35, 0.0, began=10.0, ended=10.1)
    assert (clock.least, clock.most) == pytest.approx((1000.25, 1000.35))


def test_answers_at_other_moments_of_the_second_narrow_it_down() -> None:
    clock = StoreClock().narrowed(1010.0, 1.0, began=10.0, ended=10.1)
    clock = clock.narrowed(1011.0, 1.0, began=10.7, ended=10.8)  # just after a full second: 1011.0 to 1011.1
    assert (clock.least, clock.most) == pytest.approx((1000.2, 1001.0), abs=0.001)
    clock = clock.narrowed(1011.0, 1.0, began=11.55, ended=11.65)  # just before the next: 1011.85 to 1011.95
    assert (clock.least, clock.most) == pytest.approx((1000.2, 1000.45), abs=0.001)


def test_what_is_known_ages_as_far_as_clocks_drift_apart() -> None:
    clock = StoreClock().narrowed(1010.35, 0.0, began=10.0, ended=10.1)
    later = clock.narrowed(1110.0, 1.0, began=109.7, ended=110.1)  # says no more than 999.9 to 1001.3
    assert later.least == pytest.approx(clock.least - 100 * DRIFT)
    assert later.most == pytest.approx(clock.most + 100 * DRIFT)


@pytest.mark.parametrize("store_now", [1005.0, 1020.0])
def test_a_clock_that_was_set_is_known_anew(store_now: float) -> None:
    clock = StoreClock().narrowed(1010.0, 1.0, began=10.0, ended=10.1)
    assert clock.narrowed(store_now, 1.0, 11.0, 11.1) == StoreClock().narrowed(store_now, 1.0, 11.0, 11.1)


@given(
    ahead=st.floats(0, 2e9),
    steps=st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.001, 3), st.floats(0, 1)), min_size=1, max_size=20),
    speed=st.floats(-DRIFT, DRIFT),
)
def test_the_truth_is_always_between_the_bounds(
    ahead: float, steps: list[tuple[float, ...]], speed: float
) -> None:
    clock, now, rounding = StoreClock(), 0.0, 1e-6
    for wait, way, share in steps:
        began = now + wait
        asked = began + share * way
        now = began + way
        clock = clock.narrowed(math.floor(ahead + asked * (1 + speed)), 1.0, began, now)
        assert clock.least - rounding <= ahead + now * speed <= clock.most + DRIFT * way + rounding
