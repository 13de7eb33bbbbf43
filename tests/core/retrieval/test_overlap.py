"""Exact comparison of shingle sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.retrieval.overlap import overlapping, repeated
from embedtune.core.retrieval.shingles import containment, jaccard


def hashes(*values: int) -> np.ndarray:
    return np.array(sorted(values), dtype=np.uint64)


def test_pairs_by_hand():
    left = [hashes(1, 2, 3, 4), hashes(9)]
    right = [hashes(1, 2, 3, 5), hashes(1, 2, 3, 4, 6, 7, 8), hashes(9, 10)]
    # containment 3/4, 1 (the smaller lies in the larger), 0; for the second 0, 0, 1
    assert list(overlapping(left, right, 0.75)) == [(0, 0), (0, 1), (1, 2)]
    assert list(overlapping(left, right, 0.76)) == [(0, 1), (1, 2)]


def test_questions_that_are_nearly_the_same():
    asked = ["How hot may the kiln get?", "how hot may the kiln get", "how hot may the drum get"]
    assert list(repeated(asked[:1], asked, 0.9)) == [(0, 0), (0, 1)]
    assert list(repeated(asked[:1], asked[2:], 0.25)) == [(0, 0)]  # two 3-grams of six are shared: 2/6


def test_a_text_without_shingles_is_similar_to_nothing():
    assert list(overlapping([hashes()], [hashes(), hashes(1)], 0.5)) == []


sets = st.lists(st.sets(st.integers(0, 15), max_size=10), max_size=8)


@given(sets, sets, st.sampled_from([0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0]))
def test_it_finds_exactly_what_a_comparison_of_all_pairs_finds(left, right, share):
    ours, theirs = ([hashes(*item) for item in side] for side in (left, right))
    expected = [(i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs) if containment(a, b) >= share]
    assert list(overlapping(ours, theirs, share)) == expected
    assert all(
        (i, j) in expected for i, a in enumerate(ours) for j, b in enumerate(theirs) if jaccard(a, b) >= share
    )
