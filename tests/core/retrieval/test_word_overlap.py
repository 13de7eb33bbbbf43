"""Word overlap, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.retrieval.word_overlap import word_overlaps

PASSAGES = ["hot kiln", "cold kiln"]
# ln(1 + (2 - n + 0.5) / (n + 0.5)) for a word in n of the 2 passages.
IN_NONE, IN_ONE, IN_BOTH = math.log(6), math.log(2), math.log(1.2)


@pytest.mark.parametrize(
    ("question", "relevant", "overlap"),
    [
        ("Hot kiln?", [0], 1.0),
        ("cold kiln", [0], IN_BOTH / (IN_ONE + IN_BOTH)),
        ("kiln kiln", [0], 1.0),  # each word counts once
        ("hot oven", [0], IN_ONE / (IN_ONE + IN_NONE)),
        ("hot oven", [1, 0], IN_ONE / (IN_ONE + IN_NONE)),  # the better of two passages
        ("oven", [0], 0.0),
        ("?", [0], 0.0),
        ("hot", [], 0.0),
    ],
)
def test_the_overlap_is_the_weight_of_the_shared_words(question, relevant, overlap):
    assert word_overlaps([question], [relevant], PASSAGES) == [pytest.approx(overlap)]


@given(st.lists(st.sampled_from(["a", "b", "c", "d e"]), min_size=1, max_size=6), st.integers(0, 5))
def test_a_question_that_copies_its_passage_has_overlap_one_and_none_has_more(texts, place):
    place %= len(texts)
    overlaps = word_overlaps([*texts, "a z"], [*([place] for _ in texts), [place]], texts)
    assert overlaps[place] == pytest.approx(1.0)
    assert all(0 <= overlap <= 1 for overlap in overlaps)
