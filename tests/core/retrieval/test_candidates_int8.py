import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.retrieval import exact_search as search
from embedtune.core.retrieval.candidates_int8 import GROUP, candidates_within_bound, quantize
from embedtune.core.retrieval.exact_search import pair_scores, top_k


def vectors(rows: int, size: int, seed: int, shape: str = "sphere") -> np.ndarray:
    """Return vectors distributed in one of the ways that real encoders produce."""
    random = np.random.default_rng(seed)
    found = random.standard_normal((rows, size))
    if shape == "cone":  # all of them point in nearly the same direction
        found = 0.3 * found + 3 * random.standard_normal(size)
    if shape == "outlier":  # one dimension dwarfs the others
        found[:, 3] *= 30
    if shape == "lengths":
        found *= random.uniform(0.01, 20, (rows, 1))
    else:
        found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(6 * GROUP, 20 * GROUP),
    k=st.integers(1, 6),
    shape=st.sampled_from(["sphere", "cone", "outlier", "lengths"]),
)
def test_none_of_the_best_passages_is_ever_lost(seed, rows, k, shape):
    passages, queries = vectors(rows, 40, seed, shape), vectors(4, 40, seed + 1, shape)
    found = candidates_within_bound(queries, quantize(passages), k, most=rows)
    exact = queries.astype(np.float64) @ passages.T.astype(np.float64)
    for row in range(4):
        best = set(np.argsort(-exact[row], kind="stable")[:k].tolist())
        assert best <= set(found[row].tolist())


def test_most_passages_are_ruled_out():
    passages = vectors(20_000, 64, 0)
    found = candidates_within_bound(passages[:10], quantize(passages), 5, most=20_000)
    assert (found >= 0).sum(axis=1).max() < 200


def test_it_gives_up_if_the_vectors_are_too_close_together():
    passages = np.ones((10 * GROUP, 8), dtype=np.float32)
    assert candidates_within_bound(passages[:2], quantize(passages), 2, most=5 * GROUP) is None


def test_a_query_of_zeros_finds_everything_equal():
    passages = vectors(10 * GROUP, 8, 0)
    found = candidates_within_bound(np.zeros((1, 8), np.float32), quantize(passages), 2, most=10 * GROUP)
    assert sorted(found[0].tolist()) == list(range(10 * GROUP))


@pytest.mark.parametrize("shape", ["sphere", "cone", "outlier", "lengths"])
def test_search_gives_the_same_bits_with_and_without_rounding(monkeypatch, shape):
    passages, queries = vectors(5_000, 32, 1, shape), vectors(700, 32, 2, shape)
    passages[4_000:] = passages[:1_000]  # ties
    monkeypatch.setattr(search, "fast_here", lambda: False)
    scores, indices = top_k(queries, passages, 7)
    monkeypatch.setattr(search, "fast_here", lambda: True)
    monkeypatch.setattr(search, "QUANTIZED_PRODUCTS", 1)
    rounded_scores, rounded_indices = top_k(queries, passages, 7)
    assert np.array_equal(indices, rounded_indices)
    assert np.array_equal(scores, rounded_scores)
    assert np.array_equal(scores, pair_scores(queries, passages, indices))


def test_search_continues_with_floats_after_giving_up(monkeypatch):
    passages = np.ones((20_000, 4), dtype=np.float32)
    passages[7_000] = 2.0
    monkeypatch.setattr(search, "fast_here", lambda: True)
    monkeypatch.setattr(search, "QUANTIZED_PRODUCTS", 1)
    scores, indices = top_k(np.ones((2, 4), np.float32), passages, 3)
    assert indices.tolist() == [[7_000, 0, 1]] * 2
    assert scores.tolist() == [[8.0, 4.0, 4.0]] * 2
