"""The load that the autoscaler follows: tokens that wait or are being embedded, and 0 when there are none."""

import pytest

from embedtune.serve.gateway.metrics import Metrics
from embedtune.serve.gateway.turns import Turns


def value(metrics: Metrics) -> str:
    (line,) = [
        row for row in metrics.render().decode().splitlines() if row.startswith("embedtune_gateway_pending")
    ]
    return line.split()[1]


@pytest.fixture
def watched() -> tuple[Metrics, Turns]:
    metrics, turns = Metrics(), Turns(deadline_s=30)
    metrics.watch(turns)
    return metrics, turns


def test_the_load_is_counted_as_long_as_a_request_lasts_and_is_0_otherwise(watched: tuple[Metrics, Turns]) -> None:
    metrics, turns = watched
    assert value(metrics) == "0.0"
    with turns.admitted(("a", True), 5), turns.admitted(("b", False), 6):
        assert value(metrics) == "11.0"
    assert value(metrics) == "0.0"


def test_a_request_that_fails_leaves_no_load_behind(watched: tuple[Metrics, Turns]) -> None:
    metrics, turns = watched
    with pytest.raises(RuntimeError), turns.admitted(("a", True), 5):
        raise RuntimeError
    assert value(metrics) == "0.0"
