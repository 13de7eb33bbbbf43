import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.retrieval.near_duplicates import SKETCH, Sketches, Thresholds, group, near_duplicate_groups
from embedtune.core.retrieval.shingles import containment, jaccard, shingles, words
from embedtune.core.retrieval.union_find import UnionFind


def numbered(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The K-118 knife's edge: 3.5 mm (new).", ["the", "k-118", "knife's", "edge", "3.5", "mm", "new"]),
        ("STRASSE stra\u00dfe", ["strasse", "strasse"]),
        ("a | -- b_c", ["a", "b_c"]),
        ("\u6c34\u6cf5GPU\u505c", ["\u6c34", "\u6cf5", "gpu", "\u505c"]),
        ("\u30dd\u30f3\u30d7\u304c\u6b62", ["\u30dd\u30f3\u30d7\u304c", "\u6b62"]),
        ("\u0e01\u0e02\u0e04\u0e07\u0e08 \u0e09", ["\u0e01\u0e02\u0e04\u0e07", "\u0e08", "\u0e09"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_shingles_are_five_words_each_once_in_any_case() -> None:
    assert len(shingles("a b c d e f")) == 2
    assert len(shingles("a a a a a a a")) == 1
    assert np.array_equal(shingles("A, b c d E"), shingles("a b c d e"))
    assert not np.array_equal(shingles("b a c d e"), shingles("a b c d e"))


def test_short_text_is_one_shingle_and_empty_text_none() -> None:
    assert len(shingles("a b")) == 1
    assert not np.array_equal(shingles("a b"), shingles("a b c"))
    assert len(shingles("--")) == 0


def test_jaccard_and_containment_by_hand() -> None:
    # 10 words: 6 shingles. 8 of them: 4 shingles, all shared.
    long, short = shingles(numbered(*range(10))), shingles(numbered(*range(8)))
    assert jaccard(long, short) == pytest.approx(4 / 6)
    assert containment(long, short) == 1.0
    # Another word in the middle changes five of six shingles.
    other = shingles(numbered(0, 1, 2, 3, 4, 99, 6, 7, 8, 9))
    assert jaccard(long, other) == pytest.approx(1 / 11)
    assert containment(long, other) == pytest.approx(1 / 6)
    assert jaccard(shingles(""), shingles("")) == containment(shingles(""), long) == 0.0


def test_either_threshold_accepts_and_both_are_inclusive() -> None:
    long, short = shingles(numbered(*range(10))), shingles(numbered(*range(8)))
    assert Thresholds(4 / 6, 1.0).accept(long, short)
    assert Thresholds(1.0, 1.0).accept(long, short)
    other = shingles(numbered(*range(1, 11)))  # 5 of 6 shared: jaccard 5/7
    assert Thresholds(5 / 7, 1.0).accept(long, other)
    assert Thresholds(1.0, 5 / 6).accept(long, other)
    assert not Thresholds(0.72, 0.84).accept(long, other)


def test_least_containment_of_what_jaccard_accepts() -> None:
    assert Thresholds(0.7, 0.9).least == pytest.approx(1.4 / 1.7)
    assert Thresholds(0.7, 0.8).least == 0.8


def test_clusters_are_named_by_their_first_text() -> None:
    texts = [numbered(*range(50, 90)), numbered(*range(40)), numbered(*range(41)), numbered(*range(38)) + " x"]
    assert near_duplicate_groups(texts, 0.7, 0.8) == [0, 1, 1, 1]


def test_short_text_inside_a_long_one_is_found() -> None:
    long = numbered(*range(1000))
    assert near_duplicate_groups([long, numbered(*range(500, 520)), numbered(*range(2000, 2020))], 0.7, 0.8) == [
        0,
        0,
        2,
    ]


def test_pairs_just_above_the_threshold_are_not_lost() -> None:
    # 300 words have 296 shingles; the first 241 words have 237 of them: containment 0.8007.
    rng = random.Random(5)
    texts = []
    for _ in range(200):
        base = [rng.randrange(10**6) for _ in range(300)]
        texts += [numbered(*base), numbered(*base[:241], *(rng.randrange(10**6) for _ in range(59)))]
    assert near_duplicate_groups(texts, 0.7, 0.8) == [n - n % 2 for n in range(400)]


def test_empty_texts_are_nobodys_duplicates() -> None:
    assert near_duplicate_groups(["", "", "a b", "a b"], 0.7, 0.8) == [0, 1, 2, 2]
    assert near_duplicate_groups([], 0.7, 0.8) == []


def test_cluster_larger_than_a_posting_is_one_cluster() -> None:
    base = list(range(200))
    texts = [numbered(*base[:150], 1000 + n, *base[151:]) for n in range(300)]
    assert set(near_duplicate_groups(texts, 0.7, 0.8)) == {0}


def test_texts_that_share_a_common_phrase_are_not_joined() -> None:
    phrase = numbered(*range(30))
    texts = [phrase + " " + numbered(*range(1000 * n, 1000 * n + 100)) for n in range(1, 200)]
    assert near_duplicate_groups(texts, 0.7, 0.8) == list(range(199))


def edited(seed: int) -> list[str]:
    """Return texts of 5 to 300 words, and copies of them with words replaced, prepended or removed."""
    rng = random.Random(seed)
    texts = []
    for _ in range(40):
        base = [rng.randrange(3000) for _ in range(rng.randint(5, 300))]
        texts.append(numbered(*base))
        for _ in range(rng.randint(0, 3)):
            copy = list(base)
            for _ in range(rng.randint(0, max(1, len(copy) // 25))):
                copy[rng.randrange(len(copy))] = rng.randrange(3000)
            copy = [rng.randrange(3000) for _ in range(rng.choice([0, 0, 200]))] + copy
            texts.append(numbered(*copy[: rng.randint(len(copy) // 2, len(copy))]))
    return texts


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_clusters_equal_those_of_comparing_every_pair(seed: int) -> None:
    texts = edited(seed)
    sets = [shingles(text) for text in texts]
    exact = UnionFind(len(texts))
    for i, j in combinations(range(len(texts)), 2):
        if jaccard(sets[i], sets[j]) >= 0.7 or containment(sets[i], sets[j]) >= 0.8:
            exact.union(i, j)
    assert near_duplicate_groups(texts, 0.7, 0.8) == exact.labels().tolist()


def test_only_the_given_rows_are_compared_and_labels_count_within_them() -> None:
    texts = ["a b c d e f", "p q r s t u", "a b c d e f"]
    sketches = Sketches()
    for text in texts:
        sketches.add(shingles(text))
    done: list[int] = []
    labels = group(sketches, np.array([0, 2]), texts.__getitem__, Thresholds(0.7, 0.8), done.append)
    assert labels.tolist() == [0, 0]
    assert done == [2]
    assert group(sketches, np.array([0, 1]), texts.__getitem__, Thresholds(0.7, 0.8), done.append).tolist() == [
        0,
        1,
    ]


def test_sketches_keep_a_bounded_sample_of_long_texts() -> None:
    sketches = Sketches()
    sketches.add(shingles(numbered(*range(10_000))))
    assert len(sketches) == 1
    assert sketches._blocks[0][0].size == SKETCH


def test_union_find_names_sets_by_their_smallest_member() -> None:
    sets = UnionFind(5)
    sets.union(4, 2)
    sets.union(2, 1)
    assert sets.labels().tolist() == [0, 1, 1, 3, 1]
