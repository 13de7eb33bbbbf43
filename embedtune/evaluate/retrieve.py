"""Turns texts into rankings: `dense_run` does so for every encoder, `lexical_run` for BM25."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.core.retrieval.exact_search import Indices
from embedtune.core.retrieval.forms import FULL, Form, search_form

Run = dict[str, dict[str, float]]  # score by query id and passage id
PASSAGES_AT_ONCE = 65_536  # vectors in memory; 32 of the encoder cache's blocks: 0.5 GB at 2,048 dimensions


def dense_run(encoder: Encoder, data: RetrievalSet, k: int, device: str, progress: Progress) -> Run:
    """Encode a set and search it exactly with vectors of the full size; see `dense_runs`."""
    return dense_runs(encoder, data, k, device, progress)[FULL]


def dense_runs(
    encoder: Encoder,
    data: RetrievalSet,
    k: int,
    device: str,
    progress: Progress,
    forms: Sequence[Form] = (FULL,),
) -> dict[Form, Run]:
    """Encode a set once and search it exactly with vectors of each form, in bounded memory.

    Only one block of passage vectors exists at a time.

    Args:
        encoder: Encoder of the system under test.
        data: Queries and corpus.
        k: Number of passages kept per query.
        device: Device to search on, "cpu" or "cuda".
        progress: Updated while texts are encoded.
        forms: The forms; without others, floats of the full size.

    Returns:
        The run with each form.

    Raises:
        GateError: A vector is not finite.
    """
    corpus = _in_tie_order(data.corpus)
    queries = encoder.encode_queries([query.text for query in data.queries], progress)
    scores = {form: np.empty((len(queries), 0), dtype=np.float32) for form in forms}
    indices = {form: np.empty((len(queries), 0), dtype=np.int64) for form in forms}
    for start in range(0, len(corpus), PASSAGES_AT_ONCE):
        texts = [passage.text for passage in corpus[start : start + PASSAGES_AT_ONCE]]
        passages = encoder.encode_passages(texts, progress)
        for form in forms:
            found, where = search_form(queries, passages, k, form, device)
            scores[form], indices[form] = _merged((scores[form], found), (indices[form], where + start), k)
    return {form: _as_run(data.queries, corpus, scores[form], indices[form]) for form in forms}


def lexical_run(data: RetrievalSet, k: int) -> Run:
    """Search a set with BM25; passages that share no word with the query are left out."""
    corpus = _in_tie_order(data.corpus)
    index = BM25Index([passage.text for passage in corpus])
    indices, scores = index.search([query.text for query in data.queries], k)
    run = _as_run(data.queries, corpus, scores, indices)
    return {
        query: {passage: score for passage, score in found.items() if score > 0} for query, found in run.items()
    }


def _in_tie_order(corpus: Sequence[Record]) -> list[Record]:
    """Order by descending id: searches prefer the lower index, so the cut at k follows the metrics' tie rule."""
    return sorted(corpus, key=lambda passage: passage.id, reverse=True)


def _merged(
    scores: Sequence[Vectors], indices: Sequence[Indices], k: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Keep the best k of several rankings: descending score, then ascending index."""
    every_score, every_index = np.hstack(scores), np.hstack(indices)
    order = np.lexsort((every_index, -every_score), axis=1)[:, :k]
    return np.take_along_axis(every_score, order, 1), np.take_along_axis(every_index, order, 1)


def _as_run(queries: Sequence[Record], corpus: Sequence[Record], scores: Vectors, indices: Indices) -> Run:
    ids = np.array([passage.id for passage in corpus], dtype=object)
    rows = zip(queries, ids[indices].tolist(), scores.tolist(), strict=True)
    return {query.id: dict(zip(found, values, strict=True)) for query, found, values in rows}
