"""The verdict: the rule as a table, with its boundaries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import ConfigError
from embedtune.evaluate.bootstrap import Interval
from embedtune.evaluate.verdict import Verdict, deciding_set, judge, verdict_record

UP = Interval(0.1, 0.05, 0.15)
DOWN = Interval(-0.1, -0.15, -0.05)
UNSURE = Interval(0.02, -0.01, 0.05)
TOUCHES_FROM_ABOVE = Interval(0.1, 0.0, 0.2)
TOUCHES_FROM_BELOW = Interval(-0.1, -0.2, 0.0)
SMALLEST_WIN = Interval(0.1, 0.000001, 0.2)
SMALLEST_LOSS = Interval(-0.1, -0.2, -0.000001)


@pytest.mark.parametrize(
    ("deciding", "other", "verdict"),
    [
        (UP, UP, "WIN"),
        (UP, UNSURE, "WIN"),
        (UP, TOUCHES_FROM_BELOW, "WIN"),
        (SMALLEST_WIN, UNSURE, "WIN"),
        (UNSURE, UP, "MARGINAL"),
        (TOUCHES_FROM_ABOVE, UP, "MARGINAL"),
        (TOUCHES_FROM_BELOW, UP, "MARGINAL"),
        (UP, DOWN, "REGRESSION"),
        (UP, SMALLEST_LOSS, "REGRESSION"),
        (DOWN, UP, "REGRESSION"),
        (SMALLEST_LOSS, UNSURE, "REGRESSION"),
    ],
)
def test_the_rule(deciding, other, verdict):
    assert judge({"decides": deciding, "other": other}, "decides") == verdict


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=4),
)
def test_a_win_never_hides_a_loss(shapes):
    intervals = {str(n): Interval(mean, mean - a, mean + b) for n, (mean, a, b) in enumerate(shapes)}
    verdict = judge(intervals, "0")
    lost = any(interval.high < 0 for interval in intervals.values())
    assert (verdict is Verdict.REGRESSION) == lost
    if verdict is Verdict.WIN:
        assert intervals["0"].low > 0


@pytest.mark.parametrize(
    ("wanted", "further", "decides"),
    [(None, [], "synthetic"), (None, ["a", "b"], "a"), ("b", ["a", "b"], "b"), ("synthetic", ["a"], "synthetic")],
)
def test_the_deciding_set(wanted, further, decides):
    assert deciding_set(wanted, "synthetic", further) == decides


def test_a_deciding_set_that_is_not_evaluated_is_refused():
    with pytest.raises(ConfigError, match=r"(?s)decide_on.*got: +c.*a or b or synthetic"):
        deciding_set("c", "synthetic", ["a", "b"])


def test_the_record_says_why():
    record = verdict_record({"a": {"ndcg@10": UP}, "synthetic": {"ndcg@10": UNSURE}}, None, "a", 0.95)
    assert record["verdict"] == "WIN"
    assert record["delta"] == {"mean": 0.1, "low": 0.05, "high": 0.15}
    assert record["rule"].startswith("WIN: the 95% bootstrap interval")
    assert record["reasons"] == [
        "a (decides): +0.1000, interval +0.0500 to +0.1500, above 0",
        "synthetic: +0.0200, interval -0.0100 to +0.0500, contains 0",
    ]
    assert record["promotion"] == {
        "against": "base",
        "verdict": "WIN",
        "better": True,
        "delta": {"mean": 0.1, "low": 0.05, "high": 0.15},
    }


def test_promotion_is_against_the_champion_where_there_is_one():
    record = verdict_record({"a": {"ndcg@10": UP}}, {"a": {"ndcg@10": UNSURE}}, "a", 0.9)
    assert record["verdict"] == "WIN"
    assert record["promotion"] == {
        "against": "champion",
        "verdict": "MARGINAL",
        "better": False,
        "delta": {"mean": 0.02, "low": -0.01, "high": 0.05},
    }
