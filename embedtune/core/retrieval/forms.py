"""The forms in which an endpoint returns vectors, a size and a type, and exact search with each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.retrieval.exact_search import Indices, top_k
from embedtune.core.retrieval.sizes import cut
from embedtune.core.retrieval.vector_types import VectorType, convert

# One of each precision: uint8 and binary hold the same numbers as int8 and ubinary, written differently.
SEARCHED: tuple[VectorType, ...] = ("float", "int8", "ubinary")
BITS: dict[VectorType, int] = {"float": 32, "int8": 8, "uint8": 8, "ubinary": 1, "binary": 1}
TITLES: dict[str, str] = {"float": "float32", "int8": "int8", "ubinary": "binary"}


@dataclass(frozen=True)
class Form:
    """A form of vectors.

    Args:
        size: Vectors are cut to their first `size` numbers; None: the full size.
        type: The type of the numbers.
    """

    size: int | None = None
    type: VectorType = "float"

    def bytes_of(self, dimension: int) -> int:
        """Return the bytes of one vector, without what an index adds.

        Args:
            dimension: The full size.
        """
        numbers = self.size or dimension
        return {"float": 4 * numbers, "ubinary": -(-numbers // 8), "binary": -(-numbers // 8)}.get(
            self.type, numbers
        )


FULL = Form()


def search_form(
    queries: Vectors, passages: Vectors, k: int, form: Form, device: str = "cpu"
) -> tuple[Vectors, Indices]:
    """Return the k best passages for each query, with both in the form that the endpoint returns.

    Floats and bytes are compared by inner product, bits by the number of equal ones.

    Args:
        queries: Unit vectors, shape (n, dimension).
        passages: Unit vectors, shape (m, dimension).
        k: Number of passages wanted; m if there are fewer.
        form: The form.
        device: Device to search on, "cpu" or "cuda"; bits are always compared on the CPU.

    Returns:
        Scores (n, k), descending, and the passages' indices (n, k); of equal scores the lower index comes first.

    Raises:
        GateError: A vector contains NaN or infinity.
    """
    if form.size is not None:
        queries, passages = cut(queries, form.size), cut(passages, form.size)
    if form.type == "float":
        return top_k(queries, passages, k, device=device)
    left, right = convert(queries, form.type), convert(passages, form.type)
    if BITS[form.type] == 1:
        return _equal_bits(left.view(np.uint8), right.view(np.uint8), k)
    # Sums of these products are whole numbers, which float32 holds exactly up to 1,040 dimensions.
    return top_k(left.astype(np.float32), right.astype(np.float32), k, device=device)


def _equal_bits(
    queries: npt.NDArray[np.uint8], passages: npt.NDArray[np.uint8], k: int
) -> tuple[Vectors, Indices]:
    import faiss

    k = min(k, len(passages))
    distances, indices = faiss.knn_hamming(np.ascontiguousarray(queries), np.ascontiguousarray(passages), k)
    order = np.lexsort((indices, distances), axis=1)
    scores = np.take_along_axis(8 * queries.shape[1] - distances, order, 1)
    return scores.astype(np.float32), np.take_along_axis(indices, order, 1)
