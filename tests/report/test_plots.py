"""Plots of HTML rows: the right geometry, and no label that becomes markup."""

import re

import pytest

from embedtune.report.plots import Bar, Row, bars, forest, shares
from tests.support.evaluation_records import interval
from tests.support.parsed_html import HOSTILE, ParsedPage


def _marks(plot, kind):
    """Return (left, width) in percent of the marks of a class."""
    found = re.findall(rf'<i class="{kind}" style="left:([\d.]+)%(?:;width:([\d.]+)%)?"', plot)
    return [(float(left), float(width or 0)) for left, width in found]


def test_a_bar_is_as_long_as_its_value_and_the_whisker_is_its_interval():
    half, full = interval(0.5, 0.4, 0.6), interval(1.0, 0.9, 1.0)
    plot = bars([("s", [Bar("base", "base", half), Bar("tuned", "tuned", full)])], "x")
    assert _marks(plot, "bar base") == [(0, 50)] and _marks(plot, "bar tuned") == [(0, 100)]
    assert _marks(plot, "whisker") == [(40, 20), (90, 10)]
    assert "<b>0.500</b> (0.400 … 0.600)" in plot


def test_an_interval_is_drawn_against_zero():
    plot = forest([Row("a", "n = 5", interval(0.05, -0.05, 0.15))], "x")  # the axis ends at -0.05 and +0.15
    assert _marks(plot, "span unsure") == [(0, 100)] and _marks(plot, "dot unsure") == [(50, 0)]
    assert set(_marks(plot, "zero")) == {(25, 0)}


def test_the_ticks_of_differences_are_not_rounded():
    plot = forest([Row("a", "", interval(0.05, -0.03, 0.14))], "x")
    assert re.findall(r">(\+0\.\d+)</i>", plot)[:3] == ["+0.025", "+0.050", "+0.075"]


def test_an_interval_is_coloured_by_its_side_of_zero_and_small_slices_are_pale():
    plot = forest(
        [
            Row("up", "", interval(0.2, 0.1, 0.3)),
            Row("down", "", interval(-0.2, -0.3, -0.1)),
            Row("unsure", "", interval(0.0, -0.1, 0.1)),
            Row("few", "", interval(0.2, 0.1, 0.3), muted=True),
        ],
        "x",
    )
    assert re.findall(r'class="dot (\w+)"', plot) == ["up", "down", "unsure", "muted"]


def test_without_an_interval_only_the_mean_is_drawn():
    plot = forest([Row("a", "", interval(0.1, -1.0, 1.0))], "x")
    assert "span " not in plot.replace("<span ", "") and "(no interval)" in plot


def test_shares_are_of_the_total():
    plot = shares([("kept", 3, "positive"), ("copied", 1, "negative")], "x")
    assert "<b>3</b> (75.0%)" in plot and "<b>1</b> (25.0%)" in plot
    assert _marks(plot, "bar positive") == [(0, 100)]
    assert _marks(plot, "bar negative") == [(0, pytest.approx(33.33, abs=0.01))]


def test_plots_escape_labels():
    for plot in (
        bars([(HOSTILE, [Bar(HOSTILE, "base", interval(0.5, 0.4, 0.6))])], HOSTILE),
        forest([Row(HOSTILE, HOSTILE, interval(0.1, 0.0, 0.2), heading=HOSTILE)], HOSTILE),
        shares([(HOSTILE, 3, "negative")], HOSTILE),
    ):
        assert "<script" not in plot and "&lt;script" in plot
        assert ParsedPage(plot).open == []
