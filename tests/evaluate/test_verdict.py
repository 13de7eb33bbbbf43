"""The verdict: the rule as a table, including its boundary cases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.errors import ConfigError
from embedtune.core.records.evaluation import Promotion, Verdict
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.lexical_leak import LexicalLeak
from embedtune.evaluate.verdict import deciding_set, verdict_of, verdict_record
from tests.support.evaluation_records import MEASURED, interval

SAMPLING = Sampling(1_000, 0.95, 1)
UP = interval(0.1, 0.05, 0.15)
DOWN = interval(-0.1, -0.15, -0.05)
UNSURE = interval(0.02, -0.01, 0.05)
TOUCHES_FROM_ABOVE = interval(0.1, 0.0, 0.2)
TOUCHES_FROM_BELOW = interval(-0.1, -0.2, 0.0)
SMALLEST_WIN = interval(0.1, 0.000001, 0.2)
SMALLEST_LOSS = interval(-0.1, -0.2, -0.000001)


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
    assert verdict_of({"decides": deciding, "other": other}, "decides") == verdict


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=4),
)
def test_a_win_never_hides_a_loss(shapes):
    intervals = {str(n): interval(mean, mean - a, mean + b) for n, (mean, a, b) in enumerate(shapes)}
    verdict = verdict_of(intervals, "0")
    lost = any(one.high < 0 for one in intervals.values())
    assert (verdict is Verdict.REGRESSION) == lost
    if verdict is Verdict.WIN:
        assert intervals["0"].low > 0


@pytest.mark.parametrize(
    ("leak", "caution"),
    [
        (None, ""),
        (LexicalLeak("synthetic", 0.4, 0.8, 0.7), ""),
        (LexicalLeak("synthetic", 0.7, 0.8, 0.7), "embedtune eval-set"),
        (LexicalLeak("hand", 0.7, 0.8, 0.7), "The hand questions copy their passages"),
    ],
)
def test_a_deciding_set_that_matching_words_answers_is_named_in_the_verdict(leak, caution):
    name = leak.name if leak else "synthetic"
    record = verdict_record({name: {"ndcg@10": UP}}, None, name, SAMPLING, MEASURED, leak)
    assert caution in record.caution
    assert bool(record.caution) == bool(caution)
    # A set of people's questions is there already.
    assert ("embedtune eval-set" in record.caution) == (caution == "embedtune eval-set")
    assert record.verdict is Verdict.WIN  # the rule stays the rule


@pytest.mark.parametrize(
    ("wanted", "further", "decides"),
    [(None, [], "synthetic"), (None, ["a", "b"], "a"), ("b", ["a", "b"], "b"), ("synthetic", ["a"], "synthetic")],
)
def test_the_deciding_set(wanted, further, decides):
    assert deciding_set(EvaluateSettings(decide_on=wanted), further) == decides


def test_a_deciding_set_that_is_not_evaluated_is_refused():
    with pytest.raises(ConfigError, match=r"(?s)decide_on.*got: +c.*a or b or synthetic"):
        deciding_set(EvaluateSettings(decide_on="c"), ["a", "b"])


@pytest.mark.parametrize(
    ("guards", "further", "decides"),
    [(["general"], ["general", "a"], "a"), (["general"], ["a", "general"], "a"), (["a"], ["a"], "synthetic")],
)
def test_a_guard_set_never_decides(guards, further, decides):
    assert deciding_set(EvaluateSettings(guard_sets=guards), further) == decides


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"guard_sets": ["c"]}, r"(?s)guard_sets names a set.*got: +c.*expected: a or b"),
        ({"guard_sets": ["a"], "decide_on": "a"}, r"(?s)decide_on is one of evaluate.guard_sets.*b or synthetic"),
    ],
)
def test_guard_sets_that_contradict_the_command_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        deciding_set(EvaluateSettings(**changed), ["a", "b"])


def test_a_loss_on_a_guard_set_is_a_regression_and_named():
    differences = {"a": {"ndcg@10": UP}, "general": {"ndcg@10": DOWN}}
    record = verdict_record(differences, None, "a", SAMPLING, MEASURED, guard_sets=["general"])
    assert record.verdict is Verdict.REGRESSION and not record.promotion.better
    assert record.reasons[1].startswith("general (guards): -0.1000")


def test_the_record_says_why():
    record = verdict_record(
        {"a": {"ndcg@10": UP}, "synthetic": {"ndcg@10": UNSURE}}, None, "a", SAMPLING, MEASURED
    )
    assert record.verdict is Verdict.WIN
    assert record.delta == UP
    assert record.measured == MEASURED
    assert record.rule.startswith("WIN: the 95% interval") and "fewer than 6 families" in record.rule
    assert record.reasons == (
        "a (decides): +0.1000, interval +0.0500 to +0.1500, above 0, 20 document families",
        "synthetic: +0.0200, interval -0.0100 to +0.0500, contains 0, 20 document families",
    )
    assert record.promotion == Promotion(against="base", verdict=Verdict.WIN, better=True, delta=UP)


def test_too_few_families_are_the_reason_for_marginal():
    record = verdict_record({"a": {"ndcg@10": interval(0.4, -1.0, 1.0, units=5)}}, None, "a", SAMPLING, MEASURED)
    assert record.verdict is Verdict.MARGINAL
    assert record.reasons == (
        "a (decides): +0.4000, no interval: the questions are about 5 document families, at least 6 are needed",
    )


def test_promotion_is_against_the_champion_where_there_is_one():
    wider = Sampling(1_000, 0.9, 1)
    record = verdict_record({"a": {"ndcg@10": UP}}, {"a": {"ndcg@10": UNSURE}}, "a", wider, MEASURED)
    assert record.verdict is Verdict.WIN
    assert record.promotion == Promotion(against="champion", verdict=Verdict.MARGINAL, better=False, delta=UNSURE)
