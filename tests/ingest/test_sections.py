"""How a family that is too large for one split is cut, and that nothing crosses the borders."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.sections import borders, parts


def own_groups(count: int) -> Labels:
    return np.arange(count)


def starts(documents: list[int], groups: Labels, headings: list[tuple[str, ...]]) -> list[int]:
    """Return where the parts of a family begin."""
    connecting = np.ones(len(documents), dtype=bool)
    return sorted(set(parts(np.array(documents), groups, connecting, headings).tolist()))


def test_document_is_cut_into_twenty_runs_at_the_highest_headings_near_their_ideal_beginnings() -> None:
    headings = [("Manual", f"Chapter {n // 19}", f"Section {n // 3}") for n in range(400)]
    found = starts([0] * 400, own_groups(400), headings)
    # Runs of 20; each may begin 3 earlier or later: at a chapter, every 19, else at a section, every 3.
    assert len(found) == 20
    assert found[:5] == [0, 19, 38, 57, 81]


def test_document_with_less_than_two_runs_of_eight_is_not_cut() -> None:
    assert starts([0] * 15, own_groups(15), [("A",)] * 15) == [0]
    assert starts([0] * 16, own_groups(16), [("A",)] * 16) == [0, 8]


def test_same_sections_of_two_versions_stay_together() -> None:
    groups = np.concatenate([own_groups(40), own_groups(40)])
    headings = [(f"Chapter {n // 8}",) for n in range(40)] * 2
    found = parts(np.array([0] * 40 + [1] * 40), groups, np.ones(80, dtype=bool), headings)
    assert found[:40].tolist() == found[40:].tolist() == [n // 8 * 8 for n in range(40)]


def test_chain_of_weak_joins_does_not_melt_everything_into_one_part() -> None:
    # Twenty documents of eight chunks; the last of each is also the first of the next.
    documents = [n // 8 for n in range(160)]
    groups = np.array([n - n // 8 for n in range(160)])
    assert len(starts(documents, groups, [("A",)] * 160)) >= 5


def test_passages_on_both_sides_of_a_border_are_left_out_and_never_stay_in_train() -> None:
    splits = np.array([0, 0, 0, 2, 2, 2, 1, 1, 1, 0, 0])
    left_out, moved = borders(np.zeros(11, dtype=int), own_groups(11), np.ones(11, dtype=bool), splits)
    assert np.flatnonzero(left_out).tolist() == [2, 3, 5, 6, 8, 9]
    assert moved.tolist() == [0, 0, 2, 2, 2, 2, 2, 1, 1, 1, 0]


def test_end_of_a_document_is_no_border() -> None:
    left_out, _ = borders(np.array([0, 0, 1, 1]), own_groups(4), np.ones(4, dtype=bool), np.array([0, 0, 2, 2]))
    assert not left_out.any()


def test_of_near_duplicates_in_two_splits_the_most_stay() -> None:
    documents, groups = np.array([0, 1, 2, 3]), np.array([5, 5, 5, 7])
    left_out, moved = borders(documents, groups, np.ones(4, dtype=bool), np.array([2, 2, 0, 0]))
    assert left_out.tolist() == [False, False, True, False]
    assert moved.tolist() == [2, 2, 2, 0]


def test_boilerplate_crosses_borders() -> None:
    left_out, moved = borders(np.array([0, 1]), np.array([5, 5]), np.zeros(2, dtype=bool), np.array([2, 0]))
    assert not left_out.any() and moved.tolist() == [2, 0]


@given(st.data())
def test_no_near_duplicates_remain_in_two_splits_and_no_neighbours_do(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    documents = np.sort(np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))))
    groups = np.array(data.draw(st.lists(st.integers(0, 40), min_size=count, max_size=count)))
    splits = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    left_out, moved = borders(documents, groups, np.ones(count, dtype=bool), splits)
    kept = np.flatnonzero(~left_out)
    assert (moved[kept] == splits[kept]).all()
    for group in set(groups[kept].tolist()):
        assert len(set(splits[kept][groups[kept] == group].tolist())) == 1
    for left, right in pairwise(kept.tolist()):
        if right == left + 1 and documents[left] == documents[right]:
            assert splits[left] == splits[right]
