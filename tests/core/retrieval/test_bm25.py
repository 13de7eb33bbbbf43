import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.retrieval.bm25 import BM25Index, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Pump LEAKS.", ["the", "pump", "leaks"]),
        ("Replace A-114 now!", ["replace", "a-114", "a", "114", "now"]),
        ("cp-310,values.yaml", ["cp-310", "cp", "310", "values.yaml", "values", "yaml"]),
        ("Größe 5", ["grösse", "5"]),
        ("max_length", ["max_length", "max", "length"]),
        ("ﬁlter", ["filter"]),
        ("漏水 pump", ["漏", "水", "pump"]),
        ("…—", []),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


def test_scores_are_those_of_lucenes_formula():
    # Two texts of two tokens, "pump" in one of them: idf = ln(1 + (2 - 1 + 0.5) / (1 + 0.5)) = ln 2,
    # tf part 1 / (1 + 1.2 · (0.25 + 0.75 · 2/2)) = 1 / 2.2.
    indices, scores = BM25Index(["red pump", "red valve"]).search(["pump"], 2)
    assert indices.tolist() == [[0, 1]]
    np.testing.assert_allclose(scores, [[np.log(2) / 2.2, 0.0]], rtol=1e-6)


def test_a_code_is_found_as_written_and_as_people_type_it():
    index = BM25Index(["the coupling cp-410", "the coupling cp-310", "the coupling"])
    assert index.search(["CP-310", "cp 310"], 1)[0].tolist() == [[1], [1]]


def test_equal_scores_are_ordered_by_index():
    index = BM25Index(["b", "a", "a", "a", "a"])
    assert index.search(["a"], 3)[0].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("query", ["", "unknown", "…"])
def test_a_query_that_shares_nothing_scores_zero_everywhere(query):
    indices, scores = BM25Index(["a b", "c"]).search([query], 5)
    assert indices.tolist() == [[0, 1]]
    assert scores.tolist() == [[0.0, 0.0]]


def test_texts_without_words_can_be_indexed():
    assert BM25Index(["…", ""]).search(["pump"], 2)[1].tolist() == [[0.0, 0.0]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=20), st.integers(1, 25))
def test_scores_never_rise_and_no_text_is_named_twice(texts, k):
    indices, scores = BM25Index([" ".join(words) for words in texts]).search(["a c e", "f"], k)
    assert indices.shape == (2, min(k, len(texts)))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in indices.tolist())
