"""Which units there are, and which split each gets."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.ingest import IngestSettings
from embedtune.ingest.assign_splits import assign, make_units, membership
from embedtune.ingest.families import Occurrences

NOTHING = np.array([], dtype=np.int64)


def ids(count: int) -> list[str]:
    return [f"{number:012x}" for number in range(count)]


def splits_of(sizes: list[int], seed: int = 42) -> list[str]:
    """Return the splits of units with the given numbers of chunks."""
    return assign(np.array(sizes), ids(len(sizes)), IngestSettings(), seed)


def own_chunks(*sizes: int) -> Occurrences:
    """Return documents with the given numbers of chunks, and no near-duplicates."""
    return Occurrences(np.repeat(np.arange(len(sizes)), sizes), np.arange(sum(sizes)))


def test_family_is_a_unit_with_the_smallest_of_its_document_ids_as_name() -> None:
    chunks = Occurrences(np.array([0, 1, 1, 2]), np.array([7, 8, 9, 7]))
    units = make_units(chunks, NOTHING, ["c", "b", "a"], lambda _: [], 1.0)
    assert (units.names, units.of_chunks.tolist(), units.sizes.tolist()) == (["a", "b"], [0, 1, 1, 0], [2, 2])


def test_only_a_family_above_the_limit_is_cut() -> None:
    chunks = own_chunks(24, 56)
    units = make_units(chunks, NOTHING, ["a", "b"], lambda _: [], 0.3)
    assert units.names == ["a", *(f"b:{8 * n}" for n in range(7))]
    assert [members.tolist() for members in units.cut] == [[1]]
    assert len(make_units(chunks, NOTHING, ["a", "b"], lambda _: [], 0.7).names) == 2


def test_one_long_document_is_in_every_split_with_gaps() -> None:
    found = membership(own_chunks(200), ["a"], lambda n: [f"Chapter {n // 10}"], IngestSettings(), 1)
    counts = np.bincount(found.splits[~found.border], minlength=3)
    assert counts.min() >= 10 and counts.sum() >= 150
    changes = np.flatnonzero(np.diff(found.splits[~found.border]))
    kept = np.flatnonzero(~found.border)
    assert all(kept[n + 1] - kept[n] >= 3 for n in changes.tolist())


def test_families_do_not_depend_on_the_cut_of_another_one() -> None:
    alone = make_units(own_chunks(5, 5, 5), NOTHING, ["a", "b", "c"], lambda _: [], 1.0)
    more = make_units(own_chunks(5, 5, 5, 90), NOTHING, ["a", "b", "c", "d"], lambda _: [], 0.3)
    assert more.names[:3] == alone.names


def test_shares_are_met_on_a_large_corpus() -> None:
    counts = Counter(splits_of([3] * 1000))
    assert (counts["train"], counts["dev"], counts["test"]) == (700, 100, 200)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=40), st.integers(0, 99))
def test_no_split_is_empty_if_there_are_three_units(sizes: list[int], seed: int) -> None:
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
    assert "dev" not in assign(np.ones(10, dtype=np.int64), ids(10), settings, 1)
