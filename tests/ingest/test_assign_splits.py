from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import GateError
from embedtune.ingest.assign_splits import Occurrences, assign, families, refuse_giant

NOTHING = np.array([], dtype=np.int64)


def occurrences(*pairs: tuple[int, int]) -> Occurrences:
    """Return chunks from (document, group)."""
    documents, groups = zip(*pairs, strict=True)
    return Occurrences(np.array(documents), np.array(groups))


def ids(count: int) -> list[str]:
    return [f"{number:012x}" for number in range(count)]


def splits_of(sizes: list[int], seed: int = 42) -> list[str]:
    """Return the splits of unrelated documents with the given numbers of chunks."""
    return assign(np.arange(len(sizes)), np.array(sizes), ids(len(sizes)), IngestSettings(), seed)


def test_boilerplate_is_in_more_documents_than_allowed() -> None:
    chunks = occurrences((0, 7), (1, 7), (2, 7), (0, 8), (0, 8), (0, 8))
    assert chunks.boilerplate(2).tolist() == [7]
    assert chunks.boilerplate(3).tolist() == []


def test_documents_that_share_a_group_are_a_family_in_chains() -> None:
    chunks = occurrences((0, 1), (1, 1), (1, 2), (3, 2), (2, 9))
    assert families(chunks, NOTHING, 4).tolist() == [0, 0, 2, 0]


def test_boilerplate_connects_nothing() -> None:
    chunks = occurrences((0, 1), (1, 1), (2, 1))
    assert families(chunks, np.array([1]), 3).tolist() == [0, 1, 2]


def refuse(chunks: Occurrences, limit: float) -> None:
    family = families(chunks, NOTHING, int(chunks.documents.max()) + 1)
    texts = [f"text {n}\nof chunk" for n in range(len(chunks.documents))]
    refuse_giant(chunks, NOTHING, family, limit, ["a.md", "b.md", "c.md"], texts.__getitem__)


def test_family_that_is_too_large_names_what_connects_it() -> None:
    chunks = occurrences((0, 1), (0, 2), (1, 1), (1, 2), (2, 9))
    with pytest.raises(GateError) as caught:
        refuse(chunks, 0.3)
    message = str(caught.value)
    assert "2 documents" in message
    assert "80%" in message
    assert "a.md and b.md share 2 passages, such as: text 2 of chunk" in message


def test_large_single_document_is_no_error_and_neither_is_a_share_at_the_limit() -> None:
    assert refuse(occurrences((0, 1), (0, 2), (0, 3), (1, 4)), 0.3) is None  # no error is raised
    assert refuse(occurrences((0, 1), (1, 1), (2, 2), (2, 3)), 0.5) is None


def test_shares_are_met_on_a_large_corpus() -> None:
    counts = Counter(splits_of([3] * 1000))
    assert (counts["train"], counts["dev"], counts["test"]) == (700, 100, 200)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=40), st.integers(0, 99))
def test_no_split_is_empty_if_there_are_three_families(sizes: list[int], seed: int) -> None:
    assert set(splits_of(sizes, seed)) == {"train", "dev", "test"}


def test_few_documents() -> None:
    assert splits_of([5]) == ["train"]
    assert sorted(splits_of([5, 5])) == ["test", "train"]


@given(st.lists(st.integers(1, 20), min_size=30, max_size=60), st.integers(0, 9))
def test_shares_are_close_if_families_are_small(sizes: list[int], seed: int) -> None:
    splits = splits_of(sizes, seed)
    for split, share in (("test", 0.2), ("dev", 0.1)):
        held = sum(size for size, name in zip(sizes, splits, strict=True) if name == split)
        assert abs(held - share * sum(sizes)) <= 10


def test_families_stay_together() -> None:
    family = np.array([number // 4 * 4 for number in range(40)])
    splits = assign(family, np.ones(40, dtype=np.int64), ids(40), IngestSettings(), 1)
    assert all(len(set(splits[start : start + 4])) == 1 for start in range(0, 40, 4))


def test_other_seed_other_membership() -> None:
    assert splits_of([1] * 50, 1) != splits_of([1] * 50, 2)
    assert splits_of([1] * 50, 1) == splits_of([1] * 50, 1)


def test_new_documents_move_few_of_the_old_ones() -> None:
    before = splits_of([5] * 500)
    after = splits_of([5] * 550)[:500]
    moved = sum(left != right for left, right in zip(before, after, strict=True))
    assert moved <= 15


def test_share_of_zero_leaves_a_split_empty() -> None:
    settings = IngestSettings(train_share=0.8, dev_share=0.0, test_share=0.2)
    assert "dev" not in assign(np.arange(10), np.ones(10, dtype=np.int64), ids(10), settings, 1)
