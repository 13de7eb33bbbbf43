"""Bundles: related passages of one split, the same ones even if the last digits of the vectors differ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.bundles import bundle_ids, known_bundles, make_bundles
from tests.support.passages_world import passage, passages

ALL = GenerateSettings(bundles_per_chunk=1.0)


def vectors_of(found, dimension=8, seed=0):
    """Return a unit vector for each passage that depends only on its id."""
    rows = []
    for one in found:
        row = np.random.default_rng([seed, int(one.chunk_id, 16)]).normal(size=dimension)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, dtype=np.float32).reshape(-1, dimension)


def bundles_of(found, options=ALL, known=(), vectors=None):
    return make_bundles(found, vectors_of(found) if vectors is None else vectors, options, 42, known)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 60), st.integers(0, 5))
def test_a_bundle_has_two_or_three_different_passages_of_one_split(count, seed):
    found = passages(count)
    for bundle in bundles_of(found, vectors=vectors_of(found, seed=seed)):
        assert 2 <= len(bundle) == len({one.chunk_id for one in bundle}) <= 3
        assert len({one.split for one in bundle}) == 1


def test_near_duplicates_are_never_bundled():
    twins = [passage(number, doc=f"d{number}", group="twins") for number in range(3)]
    other = passage(7, doc="d7")
    found = sorted([*twins, other], key=lambda one: one.chunk_id)
    for bundle in bundles_of(found, vectors=np.ones((4, 1), np.float32)):
        assert len({one.group_id for one in bundle}) == len(bundle) == 2


def test_the_nearest_passage_is_chosen_and_among_equally_near_ones_the_lower_id():
    found = sorted((passage(number, doc=f"d{number}") for number in range(4)), key=lambda one: one.chunk_id)
    # 1 and 2 are equally near to 0 after rounding to three decimals, although 2 is slightly nearer; 3 is far away.
    vectors = np.array([[1, 0], [0.80000, 0.6], [0.80001, 0.59999], [0, 1]], np.float32)
    pairs = GenerateSettings(bundles_per_chunk=1.0, max_hops=2)
    first = next(b for b in bundles_of(found, pairs, vectors=vectors) if b[0] == found[0])
    assert first == (found[0], found[1])


def test_slightly_other_vectors_make_the_same_bundles():
    found = passages(40)
    vectors = vectors_of(found)
    noise = np.random.default_rng(1).normal(scale=1e-7, size=vectors.shape).astype(np.float32)
    assert bundle_ids(bundles_of(found, vectors=vectors)) == bundle_ids(bundles_of(found, vectors=vectors + noise))


def test_there_are_bundles_within_a_document_and_across_documents():
    documents = [len({one.doc_id for one in bundle}) for bundle in bundles_of(passages(60))]
    assert min(documents) == 1
    assert max(documents) > 1


def test_as_many_bundles_are_made_as_configured():
    found = passages(240, splits=("train",))
    made = bundles_of(found, GenerateSettings(bundles_per_chunk=0.4))
    assert len(made) / len(found) == pytest.approx(0.4, abs=0.12)
    assert bundles_of(found, GenerateSettings(bundles_per_chunk=0.0)) == []


def test_one_hop_means_no_bundles():
    assert bundles_of(passages(20), GenerateSettings(bundles_per_chunk=1.0, max_hops=1)) == []


def test_new_documents_change_no_earlier_bundle():
    every = passages(60)
    some = [one for one in every if one.doc_id < "doc7"]
    before = bundle_ids(bundles_of(some))
    after = bundle_ids(bundles_of(every, known=before))
    assert {tuple(ids) for ids in before} <= {tuple(ids) for ids in after}
    assert len(after) > len(before)
    first = [ids[0] for ids in after]
    assert len(set(first)) == len(first)


def test_a_known_bundle_is_dropped_when_a_passage_is_gone_or_has_changed_its_split():
    one, two, three = passage(1, "train"), passage(2, "train"), passage(3, "dev")
    ids = [[one.chunk_id, two.chunk_id], [one.chunk_id, three.chunk_id], [two.chunk_id, "0" * 16]]
    assert known_bundles(ids, [one, two, three]) == [(one, two)]
