"""Soft labels: scores worked out by hand on a world of four passages."""

import numpy as np
import pytest

from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.core.retrieval.hybrid import fused
from embedtune.train.soft_labels import SoftLabels

PASSAGES = ["alpha", "beta", "gamma", "delta"]
VECTORS = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
QUERIES = ["the beta", "unknown words"]
QUERY_VECTORS = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)


def labels() -> SoftLabels:
    return SoftLabels(QUERIES, QUERY_VECTORS, PASSAGES, VECTORS)


def test_bm25_is_added_in_the_unit_of_a_cosine() -> None:
    # The cosines 1, 0.8, 0 and -1 span 2. BM25 finds "beta" only, so the range of its scores is that one score:
    # it adds 0.3/0.7 of 2.
    (found,) = labels()(["the beta"], PASSAGES)
    assert found.tolist() == pytest.approx([1.0, 0.8 + 0.6 / 0.7, 0.0, -1.0], abs=1e-6)


def test_without_a_known_word_the_base_is_its_own_teacher() -> None:
    (found,) = labels()(["unknown words"], PASSAGES)
    assert found.tolist() == pytest.approx([0.0, 0.6, 1.0, 0.0], abs=1e-6)


def test_the_labels_rank_as_a_hybrid_search_does() -> None:
    words = dict(enumerate(BM25Index(PASSAGES).scores("the beta").tolist()))
    joined = fused(dict(enumerate((VECTORS @ QUERY_VECTORS[0]).tolist())), words)
    (found,) = labels()(["the beta"], PASSAGES)
    assert found.argsort().tolist() == sorted(joined, key=joined.__getitem__)


def test_a_batch_gives_the_same_scores_as_the_whole() -> None:
    every = labels()(QUERIES, PASSAGES)
    some = labels()(QUERIES[::-1], [PASSAGES[2], PASSAGES[0]])
    np.testing.assert_allclose(some, every[::-1][:, [2, 0]], rtol=1e-5)
    assert some.dtype == np.float32
