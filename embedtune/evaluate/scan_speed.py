"""How fast each form of vectors is searched: measured on this machine with random vectors, on one core."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.records.evaluation import scan_figure
from embedtune.core.retrieval.forms import FULL, Form
from embedtune.core.retrieval.vector_types import VectorType, convert

PASSAGES, QUERIES, K = 32_768, 20, 10  # of a measurement: about 0.1 s per form at 384 numbers
Search = Callable[[Vectors], object]


def scan_speeds(dimension: int, forms: Sequence[Form]) -> dict[str, float]:
    """Return how many passages an exact search compares with a query in a second, by name of the figure.

    One query at a time, with FAISS's flat index of each type. The vectors are random, since their values do not
    change the time.

    Args:
        dimension: The full size.
        forms: The forms in addition to floats of the full size.
    """
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        return {
            scan_figure(form.size or dimension, form.type): round(
                PASSAGES / _seconds(form.size or dimension, form.type)
            )
            for form in (FULL, *forms)
        }
    finally:
        faiss.omp_set_num_threads(threads)


def _seconds(size: int, kind: VectorType) -> float:
    """Return the time of the fastest of several searches, which other work on the machine disturbs least."""
    vectors = np.random.default_rng(0).standard_normal((PASSAGES + QUERIES, size), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    search = SEARCHES[kind](vectors[QUERIES:])
    times = []
    for row in range(QUERIES):
        began = time.perf_counter()
        search(vectors[row : row + 1])
        times.append(time.perf_counter() - began)
    return min(times)


def _floats(passages: Vectors) -> Search:
    import faiss

    index = faiss.IndexFlatIP(passages.shape[1])
    index.add(passages)
    return lambda queries: index.search(queries, K)


def _bytes(passages: Vectors) -> Search:
    import faiss

    kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
    index = faiss.IndexScalarQuantizer(passages.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    index.add(convert(passages, "int8").astype(np.float32))
    return lambda queries: index.search(convert(queries, "int8").astype(np.float32), K)


def _bits(passages: Vectors) -> Search:
    import faiss

    rows = convert(passages, "ubinary").view(np.uint8)
    index = faiss.IndexBinaryFlat(8 * rows.shape[1])
    index.add(rows)
    return lambda queries: index.search(convert(queries, "ubinary").view(np.uint8), K)


SEARCHES: Mapping[VectorType, Callable[[Vectors], Search]] = {"float": _floats, "int8": _bytes, "ubinary": _bits}
