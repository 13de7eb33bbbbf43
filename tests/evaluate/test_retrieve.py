"""Retrieval: exact scores, bounded blocks, and no passage that shares nothing with the query."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.metrics import evaluate_run
from embedtune.evaluate import retrieve
from embedtune.evaluate.retrieve import dense_run, lexical_run
from tests.support.word_encoder import WordEncoder

WORDS = "kiln pump seal hoist"


def _set(passages: dict[str, str], queries: dict[str, str]) -> RetrievalSet:
    corpus = [Record(key, text) for key, text in passages.items()]
    asked = [Record(key, text) for key, text in queries.items()]
    return RetrievalSet(corpus, asked, {query: {corpus[0].id: 1} for query in queries})


PASSAGES = {"a": "kiln", "b": "kiln pump", "c": "seal", "d": "hoist hoist"}


def test_scores_are_inner_products():
    data = _set(PASSAGES, {"q": "kiln"})
    run = dense_run(WordEncoder(WORDS), data, 2, "cpu", SilentProgress())
    assert list(run["q"]) == ["a", "b"]
    assert run["q"]["a"] == pytest.approx(1.0)
    assert run["q"]["b"] == pytest.approx(2**-0.5)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_block_size_changes_nothing(monkeypatch, size):
    data = _set(PASSAGES, {"q": "kiln pump", "r": "hoist"})
    whole = dense_run(WordEncoder(WORDS), data, 3, "cpu", SilentProgress())
    monkeypatch.setattr(retrieve, "PASSAGES_AT_ONCE", size)
    assert dense_run(WordEncoder(WORDS), data, 3, "cpu", SilentProgress()) == whole


def test_more_passages_than_the_corpus_has_cannot_be_found():
    run = dense_run(WordEncoder(WORDS), _set(PASSAGES, {"q": "kiln"}), 100, "cpu", SilentProgress())
    assert sorted(run["q"]) == ["a", "b", "c", "d"]


def test_a_vector_that_is_not_finite_is_refused():
    with pytest.raises(GateError, match="not finite"):
        dense_run(WordEncoder(WORDS, broken="seal"), _set(PASSAGES, {"q": "kiln"}), 2, "cpu", SilentProgress())


def test_bm25_finds_only_passages_that_share_a_word():
    run = lexical_run(_set(PASSAGES, {"q": "pump", "r": "unrelated text"}), 4)
    assert list(run["q"]) == ["b"]
    assert run["r"] == {}


def test_ties_at_the_cut_are_broken_by_descending_id():
    data = _set({"a": "pump", "c": "pump", "b": "pump"}, {"q": "pump"})
    assert list(lexical_run(data, 2)["q"]) == ["c", "b"]
    assert list(dense_run(WordEncoder(WORDS), data, 2, "cpu", SilentProgress())["q"]) == ["c", "b"]


_TEXT = st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(_TEXT, min_size=2, max_size=12), _TEXT, st.randoms(use_true_random=False))
def test_the_order_of_the_corpus_changes_no_metric(texts, query, random):
    passages = {f"p{number:02}": text for number, text in enumerate(texts)}
    data = _set(passages, {"q": query})
    shuffled = list(data.corpus)
    random.shuffle(shuffled)
    other = RetrievalSet(shuffled, data.queries, data.qrels)
    for search in (lexical_run, lambda d, k: dense_run(WordEncoder(WORDS), d, k, "cpu", SilentProgress())):
        first = evaluate_run(search(data, 3), data.qrels, (1, 3))
        assert evaluate_run(search(other, 3), data.qrels, (1, 3)) == first


def test_runs_hold_plain_numbers():
    run = dense_run(WordEncoder(WORDS), _set(PASSAGES, {"q": "kiln"}), 1, "cpu", SilentProgress())
    assert isinstance(run["q"]["a"], float) and not isinstance(run["q"]["a"], np.floating)
