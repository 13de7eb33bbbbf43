"""How an engine is measured: against truncated PyTorch vectors, and which vectors count as invalid."""

import numpy as np
import pytest

from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.export.measure import dev_ndcg, reference_vectors, text_cosines
from embedtune.export.parity_texts import Sample
from tests.export.conftest import RUNTIME

SAMPLES = [
    Sample("query", "check the valve", 7, 32),
    Sample("passage", "stop the pump " * 30, 64, 16),
    Sample("query", "oil", 5, 8),
    Sample("passage", "read the alarm code", 8, 32),
]


def test_reference_vectors_are_in_the_order_of_the_samples_each_with_its_prefix(bert):
    vectors = reference_vectors(bert.torch, SAMPLES, SilentProgress())
    for sample, vector in zip(SAMPLES, vectors, strict=True):
        encode = bert.torch.encode_queries if sample.kind == "query" else bert.torch.encode_passages
        np.testing.assert_allclose(vector, encode([sample.text], SilentProgress())[0], atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_faithful_engine_has_cosine_1_at_every_dimension(bert, batch):
    expected = reference_vectors(bert.torch, SAMPLES, SilentProgress())
    cosines = text_cosines(bert.onnx, SAMPLES, expected, batch)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def spoiled(bert, spoil):
    """Return the cosines of an engine whose vectors are modified by `spoil`."""
    graph = bert.onnx._graph
    encoder = OnnxEncoder(bert.engine, RUNTIME, lambda ids, mask, sizes: spoil(graph(ids, mask, sizes).copy()))
    expected = reference_vectors(bert.torch, SAMPLES, SilentProgress())
    return text_cosines(encoder, SAMPLES, expected, 8).round(4).tolist()


def test_a_row_that_is_not_a_unit_vector_counts_as_the_opposite(bert):
    def not_a_number(vectors):
        vectors[0, 3] = np.nan
        return vectors

    def too_long(vectors):
        vectors[1] *= 1.01
        return vectors

    def beyond_its_dimension(vectors):
        vectors[2, 20] = 1e-6
        return vectors

    assert spoiled(bert, not_a_number) == [-1, 1, 1, 1]
    assert spoiled(bert, too_long) == [1, -1, 1, 1]
    assert spoiled(bert, beyond_its_dimension) == [1, 1, -1, 1]


def test_rows_in_the_wrong_order_are_detected(bert):
    assert max(spoiled(bert, lambda vectors: vectors[::-1])) < 0.99


class Fixed:
    """An encoder with given vectors."""

    fingerprint = "fixed"

    def __init__(self, queries, passages):
        self.queries, self.passages = queries, passages

    def encode_queries(self, texts, progress):
        return np.array([self.queries[text] for text in texts], dtype=np.float32)

    def encode_passages(self, texts, progress):
        return np.array([self.passages[text] for text in texts], dtype=np.float32)


def test_ndcg_is_the_mean_over_the_dev_questions():
    corpus = [Record("p0", "a"), Record("p1", "b")]
    data = RetrievalSet(corpus, [Record("q0", "x"), Record("q1", "y")], {"q0": {"p0": 1}, "q1": {"p0": 1}})
    encoder = Fixed({"x": [1, 0], "y": [0, 1]}, {"a": [1, 0], "b": [0, 1]})
    # q0 finds its passage first, q1 second: 1 and 1 / log2(3).
    assert dev_ndcg(encoder, data, SilentProgress()) == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert dev_ndcg(encoder, RetrievalSet(corpus, [], {}), SilentProgress()) is None
