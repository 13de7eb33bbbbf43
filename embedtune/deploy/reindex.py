"""Embed a corpus through the endpoint into one Parquet file, in parts, so that an interruption costs one part."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.beir import Record

log = logging.getLogger(__name__)
PART = 1000  # passages
PROBES = 8  # passages, evenly spread, that tell one model from another
SAME = 0.999  # cosine of each before and after, above which it is the same model; fp32 gives 1.0
STATE = "state.json"


@dataclass(frozen=True)
class Reindexed:
    """What was done.

    Args:
        passages: All in the file.
        embedded: Of them, in this call.
    """

    passages: int
    embedded: int


def reindex(corpus: Sequence[Record], encoder: Encoder, output: Path, progress: Progress) -> Reindexed:
    """Write one row a passage: id, vector. Interrupted and called again, it goes on.

    Args:
        corpus: The passages, as chunks were embedded.
        encoder: The endpoint.
        output: The Parquet file.
        progress: Where the work is reported.

    Raises:
        GateError: The endpoint began to serve another model; nothing of it was kept.
    """
    parts = output.with_name(f".{output.name}.parts")
    probe = _probe(encoder, corpus)
    _resume(parts, corpus, probe)
    starts = range(0, len(corpus), PART)
    embedded = 0
    with progress.task("reindex", len(corpus), "passages") as task:
        for start in starts:
            block = corpus[start : start + PART]
            file = parts / f"{start:09d}.parquet"
            if not file.is_file():
                vectors = encoder.encode_passages([record.text for record in block], SilentProgress())
                # Asked after the block: a model that was switched in between has shown itself by now.
                _require_same(probe, _probe(encoder, corpus))
                _write(file, block, vectors)
                embedded += len(block)
            task.advance(len(block))
    draft = parts / "all.parquet"
    with pq.ParquetWriter(draft, pq.read_schema(parts / f"{0:09d}.parquet")) as writer:
        for start in starts:
            writer.write_table(pq.read_table(parts / f"{start:09d}.parquet"))
    draft.replace(output)
    shutil.rmtree(parts)
    return Reindexed(len(corpus), embedded)


def _probe(encoder: Encoder, corpus: Sequence[Record]) -> Vectors:
    """Return the vectors of a few passages, one a row."""
    chosen = corpus[:: -(-len(corpus) // PROBES)]
    return encoder.encode_passages([record.text for record in chosen], SilentProgress())


def _resume(parts: Path, corpus: Sequence[Record], probe: Vectors) -> None:
    """Keep the parts of an earlier call if they are of this corpus and this model; else begin anew."""
    digest = hashlib.sha256()
    for record in corpus:
        digest.update(json.dumps([record.id, record.text]).encode())
    state = {"corpus": digest.hexdigest(), "part": PART, "probe": probe.tolist()}
    file = parts / STATE
    if file.is_file():
        old = json.loads(file.read_text())
        if (old["corpus"], old["part"]) == (state["corpus"], PART) and _same(np.asarray(old["probe"]), probe):
            log.info("reindex: going on, %d parts are there", len(list(parts.glob("*.parquet"))))
            return
        log.info("reindex: the corpus or the model is another one; beginning anew")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    file.write_text(json.dumps(state))


def _require_same(before: Vectors, now: Vectors) -> None:
    if not _same(before, now):
        raise GateError(
            "the endpoint serves another model than at the beginning",
            fix="run the same command again: it begins anew with the new model. int8 vectors vary with the other "
            "requests of a batch (cosine 0.99): re-index them while nobody else asks",
        )


def _same(left: Vectors, right: Vectors) -> bool:
    if left.shape != right.shape:
        return False
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return bool(((left * right).sum(axis=1) / lengths >= SAME).all())


def _write(file: Path, block: Sequence[Record], vectors: Vectors) -> None:
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    draft = file.with_suffix(".draft")
    pq.write_table(pa.table({"id": [record.id for record in block], "vector": column}), draft)
    draft.replace(file)
