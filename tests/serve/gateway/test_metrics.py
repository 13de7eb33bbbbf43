"""The gauges of work, which the chart's autoscaler and dashboard read."""

import pytest

from embedtune.serve.gateway.metrics import Metrics
from embedtune.serve.gateway.turns import Turns


def value(metrics: Metrics, name: str) -> float:
    (line,) = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_pending_tokens_are_those_of_admitted_requests_and_0_when_idle() -> None:
    metrics, turns = Metrics(), Turns(60)
    name = "embedtune_gateway_pending_tokens"
    assert value(metrics, name) == 0  # before the first request, never missing
    metrics.watch(turns)
    assert value(metrics, name) == 0
    with turns.admitted(("a", False), 300), turns.admitted(("b", True), 20):
        assert value(metrics, name) == 320
    assert value(metrics, name) == 0
    with pytest.raises(RuntimeError), turns.admitted(("a", False), 300):
        raise RuntimeError
    assert value(metrics, name) == 0


def test_the_measured_rate_is_shown() -> None:
    metrics, turns = Metrics(), Turns(60)
    metrics.watch(turns)
    assert value(metrics, "embedtune_gateway_tokens_per_second") == 1000
