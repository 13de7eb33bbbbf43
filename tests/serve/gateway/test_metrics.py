"""The load that the autoscaler follows: tokens that wait or are being embedded, and 0 when there are none."""

import pytest

from embedtune.serve.gateway.metrics import Metrics


def value(metrics: Metrics) -> str:
    (line,) = [
        row for row in metrics.render().decode().splitlines() if row.startswith("embedtune_gateway_pending")
    ]
    return line.split()[1]


def test_the_load_is_counted_as_long_as_a_request_lasts_and_is_0_otherwise() -> None:
    metrics = Metrics()
    assert value(metrics) == "0.0"
    with metrics.pending(["a" * 8, ""]), metrics.pending(["a" * 4]):
        assert value(metrics) == "6.0"  # 8 // 4 + 1, 0 // 4 + 1, 4 // 4 + 1
    assert value(metrics) == "0.0"


def test_a_request_that_fails_leaves_no_load_behind() -> None:
    metrics = Metrics()
    with pytest.raises(RuntimeError), metrics.pending(["a press"]):
        raise RuntimeError
    assert value(metrics) == "0.0"
