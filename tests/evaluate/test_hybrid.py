"""Hybrid search in the evaluation: what both models reach together with BM25."""

import pytest

from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.hybrid import fused_run, hybrid_metrics
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.result import SetResult


def result() -> SetResult:
    """30 queries about 30 families: the base finds none, the tuned model has each second, BM25 each first."""
    names = range(30)
    corpus = [Record(f"p{n}", "x") for n in names] + [Record("other", "x"), Record("third", "x")]
    data = RetrievalSet(corpus, [Record(f"q{n}", "x") for n in names], {f"q{n}": {f"p{n}": 1} for n in names})
    runs = {
        "bm25": {f"q{n}": {f"p{n}": 2.0, "third": 1.0} for n in names},
        "base": {f"q{n}": {"other": 0.9, "third": 0.8} for n in names},
        "tuned": {f"q{n}": {"other": 0.9, f"p{n}": 0.88, "third": 0.7} for n in names},
    }
    return SetResult("s", data, runs, (1, 10))


def test_both_models_are_measured_with_bm25_and_compared_there() -> None:
    found = hybrid_metrics(result(), Sampling(samples=999, confidence=0.95, seed=1))
    # With the base: other scores 0.7, the answer 0.3. With the tuned model the answer has
    # 0.7 · 0.9 + 0.3, more than other's 0.7.
    assert found.systems["base"]["recall@1"] == 0.0
    assert found.systems["tuned"]["recall@1"] == 1.0
    assert found.delta["recall@1"].mean == 1.0
    alone = 1 / 1.584962500721156  # 1 / log2(3), of an answer at rank 2
    assert found.change.mean == pytest.approx(1 - alone, abs=1e-6)
    assert found.change.direction == "up"


def test_a_query_that_only_one_side_has_is_kept() -> None:
    assert list(fused_run({"q": {"a": 0.2, "b": 0.1}}, {"r": {"c": 3.0}})) == ["q", "r"]
