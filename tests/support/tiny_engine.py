"""A tiny but real engine artifact, for tests that serve or deploy one."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.stage import stage_provenance
from embedtune.export.engine import export_engine
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model, tiny_contract

WORDS = ("press", "kiln", "drum", "valve", "pump", "seal", "hoist", "chain", "cutter", "belt", "oil", "steam")


def make_tiny_engine(
    path: Path,
    *,
    target: str = "python-cpu",
    seed: int = 0,
    dimensions: tuple[int, ...] = (TINY_DIMENSION, 16),
    make_base: Callable[[Path, int], Path] = make_tiny_model,
    model: str | None = None,
) -> Path:
    """Write a complete engine artifact of a tiny model, with its base model next to it.

    Args:
        path: Directory to write the artifact to.
        target: The target in its record; the graph is the same.
        seed: For the random weights: other seeds give other vectors.
        dimensions: Vector sizes that the contract offers.
        make_base: Writes the base model: a BERT, or a Llama.
        model: Fingerprint of the model artifact that it says it was made from; None: one that does not exist.
    """
    base = make_base(path.with_name(f"{path.name}-base"), seed)
    contract = tiny_contract(base, dimensions)
    settings = {"contract": contract.model_dump(), "export": {"target": target}, "runtime": {"device": "cpu"}}
    config = parse_config(settings)
    with write_artifact(
        path, "engine", stage_provenance("export", config, {"model": model or f"tiny-{seed}"})
    ) as draft:
        export_engine(base, contract, draft.path, config.export)
        (draft.path / "parity.json").write_text("{}\n")
        encoder = TorchEncoder(base, contract, config.runtime)
        texts = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(1 + i % 90)) + f" {i}" for i in range(256)]
        kinds = ["query" if i % 2 else "passage" for i in range(len(texts))]
        queries = encoder.encode_queries(texts, SilentProgress())
        passages = encoder.encode_passages(texts, SilentProgress())
        vectors = [q if kind == "query" else p for kind, q, p in zip(kinds, queries, passages, strict=True)]
        columns = {"text": texts, "kind": kinds, "vector": pa.array(vectors, pa.list_(pa.float32()))}
        pq.write_table(pa.table(columns), draft.path / "reference.parquet")
    return path
