"""Soft labels: scores worked out by hand on a world of four passages."""

import numpy as np
import pytest

from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.train.soft_labels import SoftLabels

PASSAGES = ["alpha", "beta", "gamma", "delta"]
VECTORS = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
QUERIES = ["the beta", "unknown words"]
QUERY_VECTORS = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def labels() -> SoftLabels:
    return SoftLabels(QUERIES, QUERY_VECTORS, PASSAGES, VECTORS, seed=1)


def test_cosine_and_bm25_are_standardised_joined_and_standardised_again() -> None:
    cosines = np.array([1.0, 0.8, 0.0, -1.0])
    # BM25 finds "beta" only. Standardised, one of four has 3/√3, the others -1/√3.
    words = np.array([-1, 3, -1, -1]) / np.sqrt(3)
    (found,) = labels()(["the beta"], PASSAGES)
    assert found.tolist() == pytest.approx(standard(standard(cosines) + 0.5 * words).tolist(), abs=1e-6)
    assert int(found.argmax()) == 1  # by cosine it was second


def test_without_a_known_word_the_cosine_decides_alone() -> None:
    (found,) = labels()(["unknown words"], PASSAGES)
    assert found.tolist() == pytest.approx(standard(np.array([0.0, 0.6, 1.0, 0.0])).tolist(), abs=1e-6)


def test_a_batch_gives_the_same_scores_as_the_whole() -> None:
    every = labels()(QUERIES, PASSAGES)
    some = labels()(QUERIES[::-1], [PASSAGES[2], PASSAGES[0]])
    np.testing.assert_allclose(some, every[::-1][:, [2, 0]], rtol=1e-5)
    assert some.dtype == np.float32


def test_passages_that_all_score_the_same_give_no_label() -> None:
    same = SoftLabels(
        ["q"], np.array([[0.0, 1.0]], np.float32), ["a", "b"], np.eye(2, dtype=np.float32)[[0, 0]], 1
    )
    assert same(["q"], ["a", "b"]).tolist() == [[0.0, 0.0]]


def test_the_index_scores_every_text() -> None:
    assert BM25Index(PASSAGES).scores("beta").argmax() == 1
