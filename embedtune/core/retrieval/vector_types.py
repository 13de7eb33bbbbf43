"""The types in which vectors are returned: 32-bit floats, bytes, or one bit per dimension."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors

VectorType = Literal["float", "int8", "uint8", "binary", "ubinary"]
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)
SCALE = 127.0
Numbers = npt.NDArray[np.float32] | npt.NDArray[np.int8] | npt.NDArray[np.uint8]


def _int8(vectors: Vectors) -> Numbers:
    # A component of a unit vector is at most 1. One scale for all vectors keeps the order of inner products, which
    # a scale per vector would not. Rounding is to the nearest, ties to even.
    numbers: npt.NDArray[np.int8] = np.rint(vectors * SCALE).astype(np.int8)
    return numbers


def _uint8(vectors: Vectors) -> Numbers:
    numbers: npt.NDArray[np.uint8] = (np.rint(vectors * SCALE) + 128).astype(np.uint8)
    return numbers


def _ubinary(vectors: Vectors) -> Numbers:
    # Bit 1 for a positive component; the first dimension is the highest bit. Missing bits of the last byte are 0.
    return np.packbits(vectors > 0, axis=1)


def _binary(vectors: Vectors) -> Numbers:
    # Cohere's and sentence-transformers' signed form: the unsigned byte minus 128.
    return (np.packbits(vectors > 0, axis=1).astype(np.int16) - 128).astype(np.int8)


def _float(vectors: Vectors) -> Numbers:
    return np.ascontiguousarray(vectors, dtype="<f4")


CONVERSIONS: dict[VectorType, Callable[[Vectors], Numbers]] = {
    "float": _float,
    "int8": _int8,
    "uint8": _uint8,
    "binary": _binary,
    "ubinary": _ubinary,
}


def convert(vectors: Vectors, kind: VectorType) -> Numbers:
    """Return unit vectors in another type.

    Args:
        vectors: One per row.
        kind: float: as they are. int8: each component times 127, rounded. uint8: that plus 128. ubinary: one bit
            per component, 1 if it is positive, eight to a byte. binary: that minus 128.

    Returns:
        One row per vector; an eighth of the columns for the binary types.
    """
    return CONVERSIONS[kind](vectors)
