"""Vectors are searched in the form in which an endpoint returns them; values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.retrieval.forms import FULL, Form, search_form

QUERY = np.array([[0.6, -0.8]], dtype=np.float32)
# Inner products with the query: 1.0, 0.96, -0.28 and 0.8.
PASSAGES = np.array([[0.6, -0.8], [0.8, -0.6], [0.6, 0.8], [0.0, -1.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("form", "scores", "order"),
    [
        (FULL, [1.0, 0.96, 0.8, -0.28], [0, 1, 3, 2]),
        # The query is 76, -102; the passages are 76, -102; 102, -76; 76, 102 and 0, -127.
        (Form(None, "int8"), [16180, 15504, 12954, -4628], [0, 1, 3, 2]),
        # The query has the bits 10; the passages have 10, 10, 11 and 00: of equals the first.
        (Form(None, "ubinary"), [8, 8, 7, 7], [0, 1, 2, 3]),
        (Form(None, "binary"), [8, 8, 7, 7], [0, 1, 2, 3]),
        # Cut to one number: 1; 1, 1, 1 and 0, which has no length.
        (Form(1), [1.0, 1.0, 1.0, 0.0], [0, 1, 2, 3]),
    ],
)
def test_each_form_ranks_by_its_own_numbers(form: Form, scores: list[float], order: list[int]) -> None:
    found, indices = search_form(QUERY, PASSAGES, 9, form)
    assert indices.tolist() == [order]
    np.testing.assert_allclose(found, [scores], atol=1e-6)


def test_bytes_of_a_vector() -> None:
    forms = [FULL, Form(None, "int8"), Form(None, "uint8"), Form(None, "ubinary"), Form(100), Form(100, "ubinary")]
    assert [form.bytes_of(384) for form in forms] == [1536, 384, 384, 48, 400, 13]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_bits_are_ranked_as_counting_them_one_by_one_does(dimension: int, k: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((12, dimension), dtype=np.float32)
    scores, indices = search_form(vectors[:2], vectors, k, Form(None, "ubinary"))
    differing = ((vectors[:2, None] > 0) != (vectors[None] > 0)).sum(axis=2)
    expected = np.argsort(differing, axis=1, kind="stable")[:, :k]
    assert indices.shape == expected.shape
    padded = 8 * -(-dimension // 8)
    np.testing.assert_array_equal(scores, padded - np.take_along_axis(differing, expected, 1))
    np.testing.assert_array_equal(padded - np.take_along_axis(differing, indices, 1), scores)
