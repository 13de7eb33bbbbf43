"""Joining a model with BM25: the score of a passage, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.retrieval.hybrid import fused

SCORES = st.dictionaries(st.sampled_from("abcdef"), st.floats(-5, 5), max_size=6)


def test_scores_are_scaled_and_weighted() -> None:
    model = {"a": 0.9, "b": 0.8, "c": 0.4}  # scaled: 1, 0.8, 0
    words = {"c": 7.0, "b": 5.0, "d": 3.0}  # scaled: 1, 0.5, 0
    assert fused(model, words) == pytest.approx({"a": 0.7, "b": 0.7 * 0.8 + 0.3 * 0.5, "c": 0.3, "d": 0.0})


def test_a_passage_that_is_clearly_best_by_words_beats_the_second_of_the_model() -> None:
    joined = fused({"a": 0.52, "b": 0.51, "c": 0.1}, {"b": 9.0, "a": 1.0, "c": 1.0})
    assert max(joined, key=joined.__getitem__) == "b"


def test_what_only_one_of_both_found_keeps_its_order() -> None:
    assert fused({"a": 0.2, "b": 0.1}, {}) == {"a": 0.7, "b": 0.0}
    assert fused({}, {"a": 3.0}) == {"a": 0.3}  # one passage is the best one
    assert fused({}, {}) == {}


@given(SCORES, SCORES, st.floats(0.1, 10), st.floats(-3, 3))
def test_the_unit_of_the_scores_does_not_count(
    model: dict[str, float], words: dict[str, float], factor: float, offset: float
) -> None:
    moved = {passage: factor * round(score, 3) + offset for passage, score in model.items()}
    joined = fused({passage: round(score, 3) for passage, score in model.items()}, words)
    assert fused(moved, words) == pytest.approx(joined, abs=1e-9)
    assert set(joined) == set(model) | set(words)
    assert all(0.0 <= score <= 1.0 + 1e-12 for score in joined.values())
