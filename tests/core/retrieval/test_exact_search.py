import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.core.retrieval.exact_search import pair_scores, top_k


def unit_vectors(rows: int, size: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_highest_inner_products_come_first():
    passages = np.array([[1, 0], [0, 1], [0.5, 0.5], [-1, 0]], dtype=np.float32)
    scores, indices = top_k(np.array([[1, 0]], dtype=np.float32), passages, 3)
    assert indices.tolist() == [[0, 2, 1]]
    assert scores.tolist() == [[1.0, 0.5, 0.0]]


def test_k_is_cut_at_the_number_of_passages():
    scores, indices = top_k(unit_vectors(2, 4, 0), unit_vectors(3, 4, 1), 10)
    assert scores.shape == indices.shape == (2, 3)


def test_no_query_and_no_passage_give_empty_answers():
    assert top_k(np.empty((0, 4), np.float32), unit_vectors(3, 4, 0), 2)[0].shape == (0, 2)
    assert top_k(unit_vectors(3, 4, 0), np.empty((0, 4), np.float32), 2)[0].shape == (3, 0)


def test_of_many_equal_scores_the_lowest_indices_win():
    # 300 passages tie for the last place, far more than are proposed in addition to k.
    passages = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (300, 1))
    passages[250] = [1.0, 0.0]
    scores, indices = top_k(np.array([[1, 0]], dtype=np.float32), passages, 4, block=64)
    assert indices.tolist() == [[250, 0, 1, 2]]
    assert scores[0, 0] == 1.0
    assert scores[0, 1:].tolist() == [np.float32(0.6)] * 3


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 200), k=st.integers(1, 40), block=st.integers(7, 250))
def test_blocks_never_change_a_bit_and_the_result_is_exact(seed, rows, k, block):
    queries, passages = unit_vectors(5, 24, seed), unit_vectors(rows, 24, seed + 1)
    passages[rows // 2 :] = passages[: rows - rows // 2]  # exact ties
    scores, indices = top_k(queries, passages, k, block=block)
    whole_scores, whole_indices = top_k(queries, passages, k)
    assert np.array_equal(indices, whole_indices)
    assert np.array_equal(scores, whole_scores)
    every = pair_scores(queries, passages, np.tile(np.arange(rows), (5, 1)))
    expected = np.lexsort((np.tile(np.arange(rows), (5, 1)), -every), axis=1)[:, :k]
    assert np.array_equal(indices, expected)
    np.testing.assert_allclose(every, queries @ passages.T, atol=1e-6)


def test_a_pair_without_a_passage_scores_minus_infinity():
    scores = pair_scores(unit_vectors(1, 4, 0), unit_vectors(3, 4, 1), np.array([[1, -1]]))
    assert np.isfinite(scores[0, 0])
    assert scores[0, 1] == -np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused_by_name_and_row(bad):
    passages = unit_vectors(4, 3, 0)
    passages[2, 1] = bad
    with pytest.raises(GateError, match=r"1 of 4 vectors of passages are not finite\n.*\[2\]"):
        top_k(unit_vectors(1, 3, 1), passages, 2)
