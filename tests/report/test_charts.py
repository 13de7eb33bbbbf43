"""Charts: the right geometry, and no label that becomes markup."""

import re

import pytest

from embedtune.report.charts import Bar, Bins, Curve, Row, bars, curves, forest, histogram, shares
from embedtune.report.svg import exact_scale, round_scale
from tests.support.evaluation_records import interval
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


def test_the_ticks_of_differences_are_not_rounded():
    chart = forest([Row("a", "", interval(0.05, -0.03, 0.14))], "x")
    assert re.findall(r">(\+0\.\d+)</text>", chart)[:3] == ["+0.025", "+0.050", "+0.075"]


def test_a_scale_maps_ends_to_ends():
    scale = exact_scale(-1, 3, 200, 40)
    assert (scale(-1), scale(1), scale(3)) == (200, 120, 40)


def test_a_bar_is_as_high_as_its_value():
    half, full = interval(0.5, 0.4, 0.6), interval(1.0, 0.9, 1.0)
    chart = bars([("s", [Bar("base", "base", half), Bar("tuned", "tuned", full)])], "x")
    heights = [float(value) for value in re.findall(r'<rect [^>]*height="([\d.]+)"', chart)]
    assert heights[1] == pytest.approx(2 * heights[0], rel=1e-4)


def test_charts_escape_labels():
    charts = [
        bars([(HOSTILE, [Bar(HOSTILE, "base", interval(0.5, 0.4, 0.6))])], HOSTILE),
        forest([Row(HOSTILE, HOSTILE, interval(0.1, 0.0, 0.2), heading=HOSTILE)], HOSTILE),
        histogram([Bins(HOSTILE, "up", [0.0, 1.0], [3])], HOSTILE, HOSTILE),
        curves([Curve(HOSTILE, "tuned", [(0.0, 1.0)])], HOSTILE, HOSTILE),
        shares([(HOSTILE, 3, "negative")], HOSTILE),
    ]
    for chart in charts:
        assert "<script" not in chart and "&lt;script" in chart
        assert ParsedPage(chart).open == []


def test_an_interval_is_coloured_by_its_side_of_zero_and_small_slices_are_pale():
    chart = forest(
        [
            Row("up", "", interval(0.2, 0.1, 0.3)),
            Row("down", "", interval(-0.2, -0.3, -0.1)),
            Row("unsure", "", interval(0.0, -0.1, 0.1)),
            Row("few", "", interval(0.2, 0.1, 0.3), muted=True),
        ],
        "x",
    )
    assert re.findall(r'class="dot (\w+)"', chart) == ["up", "down", "unsure", "muted"]
