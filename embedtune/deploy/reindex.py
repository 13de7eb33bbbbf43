"""Embeds a corpus through the endpoint into one Parquet file, in parts: an interruption costs at most one part."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ArtifactError, GateError
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.core.retrieval.beir import Record

log = logging.getLogger(__name__)
PART = 1000  # passages
PROBES = 8  # evenly spread passages that distinguish one model from another
SAME = 0.999  # lowest cosine of a probe's vectors before and after for the model to count as the same; 1.0 in fp32
STATE = "state.json"


class ReindexState(JsonRecord):
    """Describes what the parts of an interrupted call were made from.

    Attributes:
        corpus: sha256 of all passages.
        part: Passages per part.
        probe: The vectors of the probes.
    """

    NAME: ClassVar[str] = "reindex_state"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune reindex"

    corpus: str
    part: int
    probe: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Reindexed:
    """The number of passages embedded.

    Args:
        passages: All passages in the file.
        embedded: Number of those embedded in this call.
    """

    passages: int
    embedded: int


def reindex(corpus: Sequence[Record], encoder: Encoder, output: Path, progress: Progress) -> Reindexed:
    """Write one row per passage: id, vector. After an interruption, the next call resumes.

    Args:
        corpus: The passages, exactly as the chunks were embedded.
        encoder: The endpoint.
        output: The Parquet file to write.
        progress: Updated once per part.

    Raises:
        GateError: The endpoint has started to serve another model; none of its vectors are kept.
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
                # Probed after the part: a switch of the model in the meantime shows up here.
                _require_same(probe, _probe(encoder, corpus))
                _write(file, block, vectors)
                embedded += len(block)
                task.advance(len(block))
            else:
                task.skip(len(block))
    draft = parts / "all.parquet"
    with pq.ParquetWriter(draft, pq.read_schema(parts / f"{0:09d}.parquet")) as writer:
        for start in starts:
            writer.write_table(pq.read_table(parts / f"{start:09d}.parquet"))
    draft.replace(output)
    shutil.rmtree(parts)
    return Reindexed(len(corpus), embedded)


def _probe(encoder: Encoder, corpus: Sequence[Record]) -> Vectors:
    """Return the vectors of a few passages, one row each."""
    chosen = corpus[:: -(-len(corpus) // PROBES)]
    return encoder.encode_passages([record.text for record in chosen], SilentProgress())


def _resume(parts: Path, corpus: Sequence[Record], probe: Vectors) -> None:
    """Keep the parts of an earlier call if they are of this corpus and this model; otherwise start over."""
    digest = hashlib.sha256()
    for record in corpus:
        digest.update(json.dumps([record.id, record.text]).encode())
    state = ReindexState(corpus=digest.hexdigest(), part=PART, probe=tuple(map(tuple, probe.tolist())))
    if parts.is_dir():
        if _continues(parts / STATE, state):
            log.info("reindex: resuming, %d parts are done", len(list(parts.glob("*.parquet"))))
            return
        log.info("reindex: the earlier parts are from a different corpus or model; starting over")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    write_record(parts / STATE, state)


def _continues(file: Path, state: ReindexState) -> bool:
    try:
        old = read_record(file, ReindexState)
    except ArtifactError:  # of a different version, or not written completely
        return False
    same_input = (old.corpus, old.part) == (state.corpus, state.part)
    return same_input and _same(np.asarray(old.probe), np.asarray(state.probe))


def _require_same(before: Vectors, now: Vectors) -> None:
    if not _same(before, now):
        raise GateError(
            "the endpoint no longer serves the model that it served at the start",
            fix="run the same command again: it starts over with the new model. int8 vectors vary with the other "
            "requests in a batch (cosine 0.99): re-index them while there is no other traffic",
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
