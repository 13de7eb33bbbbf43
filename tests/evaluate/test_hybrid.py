"""Hybrid search: the reciprocal rank fusion of a model's ranking and BM25's."""

import pytest

from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.hybrid import fused, hybrid_metrics
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.result import SetResult


def test_a_passage_scores_the_sum_of_its_reciprocal_ranks() -> None:
    model = {"q": {"a": 0.9, "b": 0.8, "c": 0.1}}
    words = {"q": {"c": 7.0, "b": 5.0}}
    assert fused(model, words)["q"] == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 62, "c": 1 / 63 + 1 / 61})


def test_scores_count_only_by_their_order() -> None:
    model, words = {"q": {"a": 0.9, "b": 0.8}}, {"q": {"b": 5.0, "a": 1.0}}
    assert fused(model, words) == fused({"q": {"a": 100.0, "b": -3.0}}, words)


def test_a_query_that_one_side_has_no_passage_for_keeps_the_order_of_the_other() -> None:
    assert list(fused({"q": {"a": 0.2, "b": 0.1}}, {"q": {}})["q"]) == ["a", "b"]
    assert fused({}, {"q": {"a": 3.0}}) == {"q": pytest.approx({"a": 1 / 61})}


def result() -> SetResult:
    """30 queries about 30 families: the base finds none, the tuned model has each second, BM25 each first."""
    names = range(30)
    corpus = [Record(f"p{n}", "x") for n in names] + [Record("other", "x"), Record("third", "x")]
    data = RetrievalSet(corpus, [Record(f"q{n}", "x") for n in names], {f"q{n}": {f"p{n}": 1} for n in names})
    runs = {
        "bm25": {f"q{n}": {f"p{n}": 2.0, "third": 1.0} for n in names},
        "base": {f"q{n}": {"other": 0.9, "third": 0.8} for n in names},
        "tuned": {f"q{n}": {"other": 0.9, f"p{n}": 0.8} for n in names},
    }
    return SetResult("s", data, runs, (1, 10))


def test_both_models_are_measured_with_bm25_and_compared_there() -> None:
    found = hybrid_metrics(result(), Sampling(samples=999, confidence=0.95, seed=1))
    # With the base: third scores 1/62 + 1/62, more than the answer's 1/61. With the tuned model the answer has
    # 1/61 + 1/62, more than other's 1/61.
    assert found.systems["base"]["recall@1"] == 0.0
    assert found.systems["tuned"]["recall@1"] == 1.0
    assert found.delta["recall@1"].mean == 1.0
    alone = 1 / 1.584962500721156  # 1 / log2(3), of an answer at rank 2
    assert found.change.mean == pytest.approx(1 - alone, abs=1e-6)
    assert found.change.direction == "up"
