"""Charts: the right geometry, and no label that becomes markup."""

import pytest

from embedtune.report.charts import Bins, Curve, curves, histogram
from embedtune.report.svg import exact_scale, round_scale
from tests.support.parsed_html import HOSTILE, ParsedPage


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.44, 0.55, [0.44, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56]),
        (-0.07, 0.13, [-0.1, -0.05, 0.0, 0.05, 0.1, 0.15]),
        (3, 3, [2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6]),
    ],
)
def test_a_round_scale_ends_at_its_ticks(low, high, ticks):
    scale = round_scale(low, high, 0, 100)
    assert scale.low <= low and scale.high >= high
    assert scale.ticks()[0] == pytest.approx(scale.low) and scale.ticks()[-1] == pytest.approx(scale.high)
    assert scale.ticks() == pytest.approx(ticks)


def test_a_scale_maps_ends_to_ends():
    scale = exact_scale(-1, 3, 200, 40)
    assert (scale(-1), scale(1), scale(3)) == (200, 120, 40)


def test_charts_escape_labels():
    charts = [
        histogram([Bins(HOSTILE, "up", [0.0, 1.0], [3])], HOSTILE, HOSTILE),
        curves([Curve(HOSTILE, "tuned", [(0.0, 1.0)])], HOSTILE, HOSTILE),
    ]
    for chart in charts:
        assert "<script" not in chart and "&lt;script" in chart
        assert ParsedPage(chart).open == []
