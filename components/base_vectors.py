"""Encodes every passage of a run with the base model once, for all stages that need these vectors."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import Figure, StageReport, read_artifact
from embedtune.core.contract import EncoderContract
from embedtune.core.directories import replaced, require_replaceable
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import compute_of, same_everywhere
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_file import describe_vectors, new_vector_file
from embedtune.core.records.base_vectors import BASE_VECTORS_FILE, BaseVectors
from embedtune.core.stage import Context

log = logging.getLogger(__name__)
PASSAGES_AT_ONCE = 65_536  # texts and vectors in memory: 0.5 GB of vectors at 2,048 dimensions


def encode_passages(chunks: Path, output: Path, context: Context, *, resume: bool = False) -> StageReport:
    """Write the base model's vectors of all passages, in each precision that the run computes in.

    These are two on a GPU, unless `runtime.precision` names one: generate computes in fp32 on every machine.

    Args:
        chunks: The chunks artifact.
        output: Directory to write the vectors to.
        context: The configuration and everything else that the task runs with.
        resume: Use the vector cache too, because it outlives the task: another attempt finds there what this one
            has computed. It takes the room of the vectors a second time.

    Raises:
        ArtifactError: The chunks are damaged.
        InputError: The base model cannot be used, or something else is at `output`.
    """
    began = time.monotonic()
    require_replaceable(output, BASE_VECTORS_FILE, BaseVectors.NAME)
    read_artifact(chunks, "chunks")
    config = context.config
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    passages = _Passages(chunks, config.contract)
    cache = context.cache / "embeddings" if resume else None
    runtimes = (same_everywhere(config.runtime), config.runtime)  # of generate, and of mine, train and evaluate
    encoders = [TorchEncoder(base, config.contract, runtime, cache) for runtime in runtimes]
    by_fingerprint = {encoder.fingerprint: encoder for encoder in encoders}
    figures: dict[str, Figure] = {"passages": len(passages)}
    with replaced(output) as draft:
        with new_vector_file(draft) as file:
            for encoder in by_fingerprint.values():
                precision = compute_of(encoder.runtime)
                log.info("encode: %d passages in %s", len(passages), precision)
                for texts in passages.blocks():
                    file.add(encoder.passage_keys(texts), encoder.encode_passages(texts, context.progress))
                if speed := encoder.passages_per_second:
                    figures[f"passages_per_second_{precision}"] = round(speed, 2)
        record = describe_vectors(draft, len(passages), config.contract.dimensions[0], list(by_fingerprint))
    figures |= {"precisions": len(by_fingerprint), "dimension": record.dimension, "bytes": record.bytes}
    return StageReport("encode", figures, seconds=time.monotonic() - began)


class _Passages:
    """The distinct passages of a corpus in the order of their ids, as generate encodes them."""

    def __init__(self, chunks: Path, contract: EncoderContract) -> None:
        table = pq.read_table(chunks / "chunks.parquet", columns=["chunk_id", "heading_path", "text"])
        # A string column is limited to 2 GB in one piece, which `take` may make of it.
        self._table = table.set_column(2, "text", table["text"].cast(pa.large_string()))
        self._rows = np.unique(table["chunk_id"].to_numpy(), return_index=True)[1]
        self._contract = contract

    def __len__(self) -> int:
        return len(self._rows)

    def blocks(self) -> Iterator[list[str]]:
        for start in range(0, len(self), PASSAGES_AT_ONCE):
            rows = self._table.take(pa.array(self._rows[start : start + PASSAGES_AT_ONCE])).to_pylist()
            yield [self._contract.render_passage(row["heading_path"], row["text"]) for row in rows]
