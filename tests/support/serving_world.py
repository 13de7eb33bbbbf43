"""Releases without a model: their vectors are a function of the text and of the release."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.contract import EncoderContract
from embedtune.core.records.base import write_record
from embedtune.serve.release.proof import read_reference, write_proof
from embedtune.serve.release.record import PROOF_FILE, RELEASE_FILE, Release, ReleaseRecord, read_release

SIZE = 8
CONTRACT = EncoderContract(base_model="base", dimensions=(SIZE, 4))


def vector(model: str, kind: str, text: str) -> list[float]:
    """Return a unit vector that depends on all three."""
    seed = int.from_bytes(hashlib.sha256(f"{model}/{kind}/{text}".encode()).digest()[:8], "big")
    values = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return [float(value) for value in values / np.linalg.norm(values)]


def turned(values: list[float], cosine: float) -> list[float]:
    """Return a unit vector with this cosine similarity to another one."""
    other = np.roll(values, 1)
    other = other - np.dot(other, values) * np.asarray(values)
    mixed = cosine * np.asarray(values) + math.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return [float(value) for value in mixed]


def release_record(path: Path, **changes: object) -> ReleaseRecord:
    """Return the record of a release directory for python-cpu in fp32, with `changes`."""
    files = {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != RELEASE_FILE
    }
    values = {
        "target": "python-cpu",
        "precision": "fp32",
        "contract_hash": CONTRACT.hash,
        "dimensions": CONTRACT.dimensions,
        "hidden": SIZE,
        "max_length": CONTRACT.max_length,
        "engine": "engine",
        "serve": {},
        "proving": {"texts": 32, "min_cosine": 0.9999},
        "tensorrt_version": None,
        "compute_capability": None,
        "files": files,
    } | changes
    return ReleaseRecord.model_validate(values)


def make_release(
    folder: Path,
    model: str,
    *,
    wrong: bool = False,
    precision: str = "fp32",
    cosine: float = 1.0,
    min_cosine: float = 0.9999,
    tensorrt: str | None = None,
) -> Release:
    """Write a release directory named by its id.

    Args:
        folder: Directory to write it into.
        model: Determines its vectors.
        wrong: Whether its reference belongs to another model.
        precision: Precision in its record.
        cosine: Cosine similarity of its vectors with its reference.
        min_cosine: What its proof demands.
        tensorrt: Version that built it; None: it is for python-cpu.
    """
    rows = [
        {"text": f"{kind} {number} " + "word " * number, "kind": kind}
        for kind in ("query", "passage")
        for number in range(40)
    ]
    for row in rows:
        row["vector"] = turned(vector("other" if wrong else model, row["kind"], row["text"]), cosine)
    path = folder / ".draft"
    path.mkdir(parents=True)
    CONTRACT.save(path)
    (path / "name").write_text(model)
    pq.write_table(pa.Table.from_pylist(rows), path / "reference.parquet")
    write_proof(path / PROOF_FILE, read_reference(path / "reference.parquet", 32))
    proving = {"texts": 32, "min_cosine": min_cosine}
    built = {"tensorrt_version": tensorrt, "compute_capability": "9.0" if tensorrt else None}
    record = release_record(
        path, target="tensorrt" if tensorrt else "python-cpu", precision=precision, proving=proving, **built
    )
    write_record(path / RELEASE_FILE, record)
    path.rename(folder / record.id)
    return read_release(folder / record.id)
