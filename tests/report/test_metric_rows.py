"""Metrics as rows, and the verdict in sentences."""

import re

import pytest

from embedtune.core.records.metrics import Metrics, SetMetrics
from embedtune.core.retrieval.metrics import metric_title
from embedtune.report.metric_rows import metric_rows, verdict_sentences
from tests.support.evaluation_records import interval, make_verdict


def _true_minus(text: str) -> str:
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)


def _metrics(base: float, tuned: float, low: float, high: float, queries: int = 134) -> SetMetrics:
    delta = interval(round(tuned - base, 6), low, high)
    systems = {"tuned": {"ndcg@10": tuned}, "bm25": {"ndcg@10": 0.1}, "base": {"ndcg@10": base}}
    return SetMetrics(queries=queries, units=20, systems=systems, delta={"ndcg@10": delta})


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            _metrics(0.41, 0.52, 0.07, 0.15),
            "On 134 hand questions nDCG@10 rose from 0.41 to 0.52 (+0.11, 95% interval +0.07 … +0.15, F).",
        ),
        (
            _metrics(0.52, 0.41, -0.15, -0.07),
            "On 134 hand questions nDCG@10 fell from 0.52 to 0.41 (-0.11, 95% interval -0.15 … -0.07, F).",
        ),
        (
            _metrics(0.5, 0.5, -0.01, 0.02, queries=1),
            "On 1 hand question nDCG@10 stayed at 0.50 (0.00, 95% interval -0.01 … +0.02, F). "
            "The interval contains 0, so this may be chance.",
        ),
        (  # 0.70, 0.83 and +0.12 would not add up
            _metrics(0.7034, 0.8254, 0.065, 0.18, queries=1234),
            "On 1,234 hand questions nDCG@10 rose from 0.703 to 0.825 (+0.122, 95% interval +0.065 … +0.180, F).",
        ),
        (  # too small for two decimals
            _metrics(0.5, 0.502, 0.001, 0.003),
            "On 134 hand questions nDCG@10 rose from 0.500 to 0.502 (+0.002, 95% interval +0.001 … +0.003, F).",
        ),
    ],
)
def test_the_sentence(metrics, sentence):
    verdict = make_verdict(decided_on="hand", confidence=0.95)
    assert verdict_sentences(Metrics(sets={"hand": metrics}), verdict) == [
        _true_minus(sentence).replace("F", "20 families of documents")
    ]


def test_too_few_families_give_no_interval():
    delta = interval(0.11, -1.0, 1.0, units=4)
    systems = {"tuned": {"ndcg@10": 0.52}, "base": {"ndcg@10": 0.41}}
    entry = SetMetrics(queries=30, units=4, systems=systems, delta={"ndcg@10": delta})
    (sentence,) = verdict_sentences(Metrics(sets={"hand": entry}), make_verdict(decided_on="hand"))
    assert sentence == (
        "On 30 hand questions nDCG@10 rose from 0.41 to 0.52 (+0.11). "
        "They are about 4 families of documents, too few for an interval."
    )
    one = entry.model_copy(
        update={"queries": 1, "units": 1, "delta": {"ndcg@10": interval(0.11, -1.0, 1.0, units=1)}}
    )
    (sentence,) = verdict_sentences(Metrics(sets={"hand": one}), make_verdict(decided_on="hand"))
    assert sentence.endswith("It is about 1 family of documents, too few for an interval.")


def test_a_fall_on_another_set_is_reported_too():
    sets = {
        "hand": _metrics(0.41, 0.52, 0.07, 0.15),
        "synthetic": _metrics(0.6, 0.5, -0.2, -0.05),
        "other": _metrics(0.6, 0.6, -0.2, 0.2),
    }
    sentences = verdict_sentences(Metrics(sets=sets), make_verdict(decided_on="hand", confidence=0.9))
    assert [sentence.split(" nDCG")[0] for sentence in sentences] == [
        "On 134 hand questions",
        "On 134 synthetic questions",
    ]
    assert "fell from 0.60 to 0.50" in sentences[1] and "90% interval" in sentences[1]


def test_metrics_as_rows():
    (row,) = metric_rows(_metrics(0.41, 0.52, 0.07, 0.15), ["recall@10", "ndcg@10"])
    assert row.metric == "ndcg@10"
    assert list(row.systems) == ["bm25", "base", "tuned"]
    assert row.delta == interval(0.11, 0.07, 0.15)


def test_titles():
    assert metric_title("ndcg@10") == "nDCG@10"
