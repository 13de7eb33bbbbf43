"""Vectors as bytes and bits, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedtune.core.retrieval.vector_types import convert

VECTOR = np.array([[0.6, -0.8, 0.0, 0.004, -0.004, 0.0039, 1.0, -1.0, 0.5, -0.1]], dtype=np.float32)


def test_int8_is_127_times_the_number_rounded() -> None:
    # 0.6 * 127 = 76.2; 0.8 * 127 = 101.6; 0.004 * 127 = 0.508; 0.0039 * 127 = 0.495; 0.5 * 127 = 63.5 -> 64 (even)
    assert convert(VECTOR, "int8").tolist() == [[76, -102, 0, 1, -1, 0, 127, -127, 64, -13]]
    assert convert(VECTOR, "int8").dtype == np.int8


def test_uint8_is_int8_plus_128() -> None:
    assert convert(VECTOR, "uint8").tolist() == [[204, 26, 128, 129, 127, 128, 255, 1, 192, 115]]
    assert convert(VECTOR, "uint8").dtype == np.uint8


def test_binary_has_a_bit_per_number_the_first_one_highest() -> None:
    # positive: 1 0 0 1 0 1 1 0 | 1 0 and six missing bits
    assert convert(VECTOR, "ubinary").tolist() == [[0b10010110, 0b10000000]]
    assert convert(VECTOR, "ubinary").dtype == np.uint8
    assert convert(VECTOR, "binary").tolist() == [[150 - 128, 128 - 128]]
    assert convert(VECTOR, "binary").dtype == np.int8


def test_float_is_unchanged() -> None:
    np.testing.assert_array_equal(convert(VECTOR, "float"), VECTOR)
    assert convert(VECTOR, "float").dtype == np.dtype("<f4")


vectors = arrays(np.float32, (3, 16), elements=st.floats(-1, 1, width=32)).filter(
    lambda rows: bool((np.linalg.norm(rows, axis=1) > 0.1).all())
)


@given(vectors)
def test_inner_products_of_int8_are_close_to_those_of_floats(rows: np.ndarray) -> None:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    small = convert(rows, "int8").astype(np.float64) / 127
    # Each component is off by at most half of 1/127, on both sides; 16 of them have an L1 norm of at most 4.
    np.testing.assert_allclose(
        small @ small.T, rows @ rows.T, atol=2 * 4 * 0.5 / 127 + 16 * (0.5 / 127) ** 2 + 1e-6
    )


@pytest.mark.parametrize("kind", ["int8", "uint8", "binary", "ubinary"])
@given(rows=vectors)
def test_each_row_is_converted_on_its_own(rows: np.ndarray, kind: str) -> None:
    whole = convert(rows, kind)
    np.testing.assert_array_equal(
        whole, np.concatenate([convert(rows[place : place + 1], kind) for place in range(3)])
    )
