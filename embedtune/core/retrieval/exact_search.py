"""Exact inner-product search in bounded memory: a fast scan proposes candidates, each is then scored on its own.

A matrix product rounds the score of a pair differently in blocks of different shapes, and a GPU rounds even more,
so its scores depend on the block size. Here products only propose candidates, a few more than were asked for; each
proposed pair is then scored on its own, which always gives the same bits. So results do not depend on blocks or
threads, and equal vectors have equal scores.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.retrieval.candidates_int8 import GROUP, QUERIES, candidates_within_bound, fast_here, quantize

Indices = npt.NDArray[np.int64]
Knn = Callable[[Vectors, Vectors, int], tuple[Vectors, Indices]]
GPU_MAX_K = 2048  # FAISS's own limit on a GPU
# With fewer products, with fewer groups of passages per wanted result, or with more wanted results than this,
# rounding first does not pay off (bench/evaluate.py, at k = 100: 1.56 s of CPU against FAISS's 1.11 s).
QUANTIZED_PRODUCTS, QUANTIZED_GROUPS, QUANTIZED_K = 10_000_000, 8, 64


def top_k(
    queries: Vectors, passages: Vectors, k: int, *, block: int = 50_000, device: str = "cpu"
) -> tuple[Vectors, Indices]:
    """Return the k passages with the highest inner product for each query.

    Args:
        queries: Shape (n, dimension), float32.
        passages: Shape (m, dimension), float32.
        k: Number of passages wanted; m if there are fewer.
        block: Passages scanned at once. Memory in addition to the inputs: about 40 bytes per query and wanted
            passage, and on the CPU up to a quarter of the passages, or one block on the GPU.
        device: "cuda" scans on the GPU where FAISS is built for it; anything else on the CPU.

    Returns:
        Scores (n, k), descending, and the passages' indices (n, k); of equal scores the lower index comes first.

    Raises:
        GateError: A vector contains NaN or infinity.
    """
    queries, passages = _checked(queries, "queries"), _checked(passages, "passages")
    k = min(k, len(passages))
    if k == 0 or len(queries) == 0:
        return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    knn = _gpu_knn(k) if device == "cuda" else None
    large = len(queries) * len(passages) >= QUANTIZED_PRODUCTS and len(passages) >= k * GROUP * QUANTIZED_GROUPS
    if knn is None and large and k <= QUANTIZED_K and fast_here():
        return _quantized_search(queries, passages, k, block)
    return _float_search(queries, passages, k, block, knn or _cpu_knn)


def pair_scores(queries: Vectors, passages: Vectors, indices: Indices) -> Vectors:
    """Return the inner product of each query with its own selection of passages.

    Args:
        queries: Shape (n, dimension), float32.
        passages: Shape (m, dimension), float32.
        indices: Shape (n, k): the passages to score for each query; -1 gives -infinity.

    Returns:
        Scores (n, k). The same pair has the same bits whatever else is scored with it.
    """
    import faiss

    queries, passages = np.ascontiguousarray(queries), np.ascontiguousarray(passages)
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    scores = np.empty(indices.shape, dtype=np.float32)
    rows, width = indices.shape
    pointers = [faiss.swig_ptr(array) for array in (scores, queries, passages, indices)]
    untyped: Any = faiss  # FAISS's own stubs lack this function
    untyped.fvec_inner_products_by_idx(*pointers, queries.shape[1], rows, width)
    return scores


def _quantized_search(queries: Vectors, passages: Vectors, k: int, block: int) -> tuple[Vectors, Indices]:
    """Search with 8-bit products; vectors that are too close together for these are searched as floats."""
    rounded = quantize(passages)
    scores = np.empty((len(queries), k), dtype=np.float32)
    indices = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        candidates = candidates_within_bound(queries[part], rounded, k, most=4096 + 32 * k)
        if candidates is None:
            rest = slice(start, None)
            scores[rest], indices[rest] = _float_search(queries[rest], passages, k, block, _cpu_knn)
            break
        scores[part], indices[part] = _best(pair_scores(queries[part], passages, candidates), candidates, k)
    return scores, indices


def _float_search(queries: Vectors, passages: Vectors, k: int, block: int, knn: Knn) -> tuple[Vectors, Indices]:
    """Search with FAISS; queries for which it may have missed a tie are scored against all passages."""
    wanted = min(k + 8 + k // 16, len(passages))
    proposed, candidates = _propose(queries, passages, wanted, block, knn)
    exact = pair_scores(queries, passages, candidates)
    # Allow for twice the largest error seen: no passage that was not proposed can score higher than `beyond`.
    beyond = proposed.min(axis=1) + 2 * np.abs(proposed - exact).max()
    scores, indices = _best(exact, candidates, k)
    unsure = np.flatnonzero(scores[:, -1] <= beyond) if wanted < len(passages) else ()
    everything = np.arange(len(passages))[None]
    for row in unsure:
        every_score = pair_scores(queries[row : row + 1], passages, everything)
        scores[row], indices[row] = (found[0] for found in _best(every_score, everything, k))
    return scores, indices


def _propose(queries: Vectors, passages: Vectors, k: int, block: int, knn: Knn) -> tuple[Vectors, Indices]:
    """Scan block by block and keep the k best so far, in no particular order."""
    scores = np.empty((len(queries), 0), dtype=np.float32)
    indices = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(passages), block):
        part = passages[start : start + block]
        found, where = knn(queries, part, min(k, len(part)))
        scores, indices = np.hstack([scores, found]), np.hstack([indices, where + start])
        if scores.shape[1] > k:
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            scores, indices = np.take_along_axis(scores, best, 1), np.take_along_axis(indices, best, 1)
    return scores, indices


def _best(scores: Vectors, indices: Indices, k: int) -> tuple[Vectors, Indices]:
    """Sort each row by descending score, then ascending index, and keep the first k."""
    order = np.lexsort((indices, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)


def _checked(vectors: Vectors, name: str) -> Vectors:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        raise GateError(
            f"{len(bad)} of {len(vectors)} vectors of {name} are not finite",
            got=f"rows {bad[:3].tolist()}",
            expected="finite numbers",
            fix="check the encoder: half precision overflows in some models; runtime.device=cpu avoids it",
        )
    return vectors


def _cpu_knn(queries: Vectors, passages: Vectors, k: int) -> tuple[Vectors, Indices]:
    import faiss

    scores, indices = faiss.knn(queries, passages, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, indices


def _gpu_knn(k: int) -> Knn | None:
    """Return FAISS's search on the GPU, or None if it is not built for GPUs or cannot return k results."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or k > GPU_MAX_K:
        return None
    untyped: Any = faiss  # the stubs also lack the classes of its GPU build
    resources = untyped.StandardGpuResources()
    return lambda queries, passages, k: untyped.knn_gpu(
        resources, queries, passages, k, metric=faiss.METRIC_INNER_PRODUCT
    )
