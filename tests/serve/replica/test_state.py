"""What a follower tells gateways around a switch, whatever it knows of the store's clock."""

import math
from types import SimpleNamespace
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from embedtune.serve.replica.state import State
from embedtune.serve.store.objects import Small
from embedtune.serve.store.records import Pointer

OLD, NEW = "a" * 64, "b" * 64
SWITCH_S = 6.0  # from the first poll
ROUNDING_S = 1e-6  # of seconds since 1970 in floating point


def loaded(name: str) -> SimpleNamespace:
    cosine = SimpleNamespace(min=1.0)
    return SimpleNamespace(
        release=SimpleNamespace(id=name), model=name, drift=SimpleNamespace(cosine=cosine), checked=0
    )


@given(
    ahead=st.floats(0, 2e9),
    polls=st.lists(st.tuples(st.floats(0.05, 2), st.floats(0.001, 0.8), st.floats(0, 1)), min_size=1, max_size=12),
    asked=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_the_former_release_answers_only_before_the_switch_and_the_next_one_only_after_it(
    ahead: float, polls: list[tuple[float, ...]], asked: list[float]
) -> None:
    pointer = Pointer(live=NEW, kept=OLD, switch_at=ahead + SWITCH_S)
    state, now = State(loaded={OLD: loaded(OLD), NEW: loaded(NEW)}), 0.0
    for wait, way, share in polls:
        began, now = now, now + way
        store_now = math.floor(ahead + began + share * way)  # as HTTP tells it
        with mock.patch("time.monotonic", lambda: now):  # noqa: B023 - used at once
            state.has_read(pointer, Small("", b"", "", 0.0, store_now, 1.0), began, now)
            serving = state.serving()
        for moment in (now + part * wait for part in asked):
            answers, to_go = serving.live_at(moment), SWITCH_S - moment
            assert answers != OLD or to_go > -ROUNDING_S
            assert answers != NEW or to_go < ROUNDING_S
            assert serving.pause(moment) <= 1 + way + ROUNDING_S or answers
        now += wait
