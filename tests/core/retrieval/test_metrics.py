"""Metrics: exact values computed by hand, a fixed rule for ties, nothing ignored silently."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import EmbedtuneError
from embedtune.core.retrieval.metrics import (
    evaluate_run,
    first_relevant_rank,
    mean_metrics,
    metric_names,
    ranking_of,
)


def _ranked(*passages: str) -> dict[str, float]:
    return {passage: 1.0 - 0.01 * rank for rank, passage in enumerate(passages)}


def test_a_hit_at_rank_two():
    result = evaluate_run({"q": _ranked("a", "hit", "b")}, {"q": {"hit": 1}}, (1, 2, 10))["q"]
    assert result["ndcg@10"] == pytest.approx(1 / math.log2(3), abs=1e-9)
    assert round(result["ndcg@10"], 5) == 0.63093
    assert result["ndcg@1"] == 0.0
    assert (result["recall@1"], result["recall@2"]) == (0.0, 1.0)
    assert (result["precision@2"], result["precision@10"]) == (0.5, 0.1)
    assert (result["mrr@1"], result["mrr@2"], result["mrr@10"]) == (0.0, 0.5, 0.5)


def test_two_relevant_passages_at_ranks_one_and_four():
    result = evaluate_run({"q": _ranked("x", "a", "b", "y")}, {"q": {"x": 1, "y": 1}}, (3, 5))["q"]
    ideal = 1 + 1 / math.log2(3)
    assert result["ndcg@3"] == pytest.approx(1 / ideal)
    assert result["ndcg@5"] == pytest.approx((1 + 1 / math.log2(5)) / ideal)
    assert (result["recall@3"], result["recall@5"]) == (0.5, 1.0)
    assert result["mrr@3"] == 1.0


def test_graded_relevance_has_linear_gain():
    result = evaluate_run({"q": _ranked("low", "high")}, {"q": {"high": 3, "low": 1}}, (10,))["q"]
    assert result["ndcg@10"] == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_mrr_is_cut_at_k():
    run = {"q": _ranked(*(f"p{n}" for n in range(5)), "hit")}
    result = evaluate_run(run, {"q": {"hit": 1}}, (5, 6))["q"]
    assert (result["mrr@5"], result["mrr@6"]) == (0.0, pytest.approx(1 / 6))


def test_any_cut_off_can_be_asked_for():
    run = {"q": _ranked(*(f"p{n:03}" for n in range(59)), "hit")}
    result = evaluate_run(run, {"q": {"hit": 1}}, (60, 59))["q"]
    assert (result["recall@59"], result["recall@60"]) == (0.0, 1.0)


def test_ties_go_by_passage_id_descending():
    assert ranking_of({"a": 0.5, "c": 0.5, "b": 0.5, "d": 0.1}) == ["c", "b", "a", "d"]
    result = evaluate_run({"q": {"a": 0.5, "b": 0.5}}, {"q": {"a": 1}}, (1, 2))["q"]
    assert (result["mrr@1"], result["mrr@2"]) == (0.0, 0.5)


def test_scores_that_differ_below_32_bits_are_no_tie():
    result = evaluate_run({"q": {"a": 1.0 + 1e-12, "b": 1.0}}, {"q": {"a": 1}}, (1,))["q"]
    assert result["ndcg@1"] == 1.0


def test_a_passage_with_its_querys_id_counts():
    assert evaluate_run({"same": {"same": 1.0, "x": 0.5}}, {"same": {"same": 1}}, (1,))["same"]["ndcg@1"] == 1.0


def test_a_query_that_the_run_lacks_scores_zero():
    result = evaluate_run({"found": {"p": 1.0}}, {"found": {"p": 1}, "lost": {"p": 1}}, (10,))
    assert list(result) == ["found", "lost"]
    assert set(result["lost"].values()) == {0.0}
    assert mean_metrics(result)["ndcg@10"] == 0.5


def test_a_query_without_judgements_is_not_measured():
    assert list(evaluate_run({"q": {"p": 1.0}, "other": {"p": 1.0}}, {"q": {"p": 1}}, (1,))) == ["q"]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(score):
    with pytest.raises(EmbedtuneError, match="not finite"):
        evaluate_run({"q": {"a": score, "b": 1.0}}, {"q": {"b": 1}}, (1,))


def test_no_queries_have_no_mean():
    with pytest.raises(EmbedtuneError):
        mean_metrics({})


def test_names():
    assert metric_names((10, 1))[:3] == ["ndcg@1", "ndcg@10", "recall@1"]
    result = evaluate_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, (10, 1))
    assert list(result["q"]) == metric_names((10, 1))


def test_first_relevant_rank():
    assert first_relevant_rank(["a", "b", "c"], ["c", "b"]) == 2
    assert first_relevant_rank(["a"], ["z"]) is None


_SCORES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(-1, 1), min_size=1, max_size=30)


@settings(deadline=None)
@given(_SCORES, st.randoms(use_true_random=False), st.integers(1, 12))
def test_the_order_of_the_corpus_changes_nothing(scores, random, cut):
    shuffled = list(scores.items())
    random.shuffle(shuffled)
    qrels = {"q": {next(iter(sorted(scores))): 1, "absent": 1}}
    assert evaluate_run({"q": scores}, qrels, (cut,)) == evaluate_run({"q": dict(shuffled)}, qrels, (cut,))


@settings(deadline=None)
@given(_SCORES, st.integers(1, 12))
def test_metrics_are_between_zero_and_one_and_recall_grows_with_k(scores, cut):
    qrels = {"q": dict.fromkeys(sorted(scores)[::2], 1)}
    result = evaluate_run({"q": scores}, qrels, (cut, cut + 1))["q"]
    assert all(0.0 <= value <= 1.0 + 1e-9 for value in result.values())
    assert result[f"recall@{cut}"] <= result[f"recall@{cut + 1}"]
    assert result[f"mrr@{cut}"] <= result[f"mrr@{cut + 1}"]
