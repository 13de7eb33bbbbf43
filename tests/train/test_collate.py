"""Turning rows into tensors, and the role of each passage for each query."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.train.collate import MASKED, NEGATIVE, POSITIVE, Collator
from tests.support.tiny_model import tiny_contract


def row(query, positive, group, negatives=(), also=()):
    texts, groups = zip(*negatives, strict=True) if negatives else ((), ())
    return {
        "query": query,
        "positive": positive,
        "group_id": group,
        "positive_groups": [group, *also],
        "negatives": list(texts),
        "negative_groups": list(groups),
        "weight": 1.0,
    }


def collate(rows, *, negatives, in_batch):
    seen = []
    collator = Collator(lambda texts: seen.append(texts) or {"input_ids": texts}, CONTRACT, negatives, in_batch)
    return collator(rows), seen


CONTRACT = tiny_contract("base")
SOFT = np.array([[1.5, -0.5], [0.25, 2.0]], dtype=np.float32)  # of two queries and their two passages
A = row("a?", "pa", "g1", [("na", "g8"), ("unused", "g9")])
B = row("b?", "pb", "g2", [("nb", "g7"), ("unused", "g9")])


def test_prefixes_are_added_and_only_the_first_negatives_used():
    batch, seen = collate([A, B], negatives=1, in_batch=False)
    assert seen == [
        ["query: a?", "query: b?"],
        ["passage: pa", "passage: na", "passage: pb", "passage: nb"],
    ]
    assert set(batch) == {"query_input_ids", "passage_input_ids", "label"}


def test_own_negatives_belong_to_their_row_only():
    batch, _ = collate([A, B], negatives=1, in_batch=False)
    assert batch["label"]["roles"].tolist() == [
        [POSITIVE, NEGATIVE, MASKED, MASKED],
        [MASKED, MASKED, POSITIVE, NEGATIVE],
    ]


def test_in_batch_all_other_passages_are_negatives():
    batch, _ = collate([A, B], negatives=1, in_batch=True)
    assert batch["label"]["roles"].tolist() == [
        [POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE],
        [NEGATIVE, NEGATIVE, POSITIVE, NEGATIVE],
    ]


def test_soft_labels_are_there_only_if_they_are_wanted():
    collator = Collator(lambda texts: {}, CONTRACT, 0, True, lambda queries, passages: SOFT)
    labels = collator([A, B])["label"]
    assert labels["roles"].tolist() == [[POSITIVE, NEGATIVE], [NEGATIVE, POSITIVE]]
    assert labels["soft"].tolist() == SOFT.tolist()
    batch, _ = collate([A, B], negatives=0, in_batch=True)
    assert "soft" not in batch["label"]


def test_each_row_has_its_weight():
    batch, _ = collate([A | {"weight": 1.5}, B | {"weight": 0.5}], negatives=0, in_batch=True)
    assert batch["label"]["weights"].tolist() == [1.5, 0.5]


@pytest.mark.parametrize("in_batch", [True, False])
def test_a_shared_passage_is_encoded_once(in_batch):
    left, right = row("a?", "pa", "g1", [("n", "g9")]), row("b?", "pb", "g2", [("n", "g9")])
    batch, seen = collate([left, right], negatives=1, in_batch=in_batch)
    assert seen[1] == ["passage: pa", "passage: n", "passage: pb"]
    other = NEGATIVE if in_batch else MASKED
    assert batch["label"]["roles"].tolist() == [[POSITIVE, NEGATIVE, other], [other, NEGATIVE, POSITIVE]]


def test_the_other_positive_of_a_multi_hop_question_is_masked_in_both_rows():
    """Neither of its two passages is wrong for the question."""
    first, second = row("ab?", "pa", "g1", also=["g2"]), row("ab?", "pb", "g2", also=["g1"])
    batch, _ = collate([first, second], negatives=0, in_batch=True)
    assert batch["label"]["roles"].tolist() == [[POSITIVE, MASKED], [MASKED, POSITIVE]]


def test_a_near_duplicate_of_the_positive_is_masked():
    first, second = row("a?", "pa", "g1"), row("b?", "pa, nearly", "g1")
    batch, _ = collate([first, second], negatives=0, in_batch=True)
    assert batch["label"]["roles"].tolist() == [[POSITIVE, MASKED], [MASKED, POSITIVE]]


def test_a_negative_of_another_row_that_duplicates_the_positive_is_masked_for_this_row_only():
    left, right = row("a?", "pa", "g1"), row("b?", "pb", "g2")
    right |= {"negatives": ["pa, nearly"], "negative_groups": ["g1"]}
    left |= {"negatives": ["n"], "negative_groups": ["g9"]}
    batch, _ = collate([left, right], negatives=1, in_batch=True)
    assert batch["label"]["roles"].tolist() == [
        [POSITIVE, NEGATIVE, NEGATIVE, MASKED],
        [NEGATIVE, NEGATIVE, POSITIVE, NEGATIVE],
    ]


def test_two_questions_about_one_passage_share_its_column():
    first, second = row("a?", "pa", "g1"), row("b?", "pa", "g1")
    batch, seen = collate([first, second], negatives=0, in_batch=True)
    assert seen[1] == ["passage: pa"]
    assert batch["label"]["roles"].tolist() == [[POSITIVE], [POSITIVE]]


@st.composite
def batches(draw):
    """Return rows over eight passages, each in one of four groups."""
    groups = {f"p{i}": f"g{draw(st.integers(0, 3))}" for i in range(8)}
    rows = []
    for number in range(draw(st.integers(1, 4))):
        positive, *negatives = draw(st.permutations(sorted(groups)))[:4]
        also = draw(st.lists(st.sampled_from(sorted(groups.values())), max_size=2))
        rows.append(row(f"{number}?", positive, groups[positive], [(n, groups[n]) for n in negatives], also))
    return rows, groups


def role(row, passage, group, in_batch):
    """Apply the rule of the docstring, line by line."""
    if passage == row["positive"]:
        return POSITIVE
    if group in row["positive_groups"]:
        return MASKED
    return NEGATIVE if in_batch or passage in row["negatives"] else MASKED


@given(batches(), st.booleans())
def test_the_roles_follow_the_rule(batch, in_batch):
    rows, groups = batch
    found, seen = collate(rows, negatives=3, in_batch=in_batch)
    passages = [text.removeprefix("passage: ") for text in seen[1]]
    expected = [[role(row, passage, groups[passage], in_batch) for passage in passages] for row in rows]
    assert found["label"]["roles"].tolist() == expected
