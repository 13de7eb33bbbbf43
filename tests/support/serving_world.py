"""Releases without a model and an endpoint in memory: vectors are a function of the text and of the release."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress
from embedtune.core.records.base import write_record
from embedtune.serve.release.record import RELEASE_FILE, Release, ReleaseRecord, read_release, release_id

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
        "model_name": "embedtune",
        "contract_hash": CONTRACT.hash,
        "dimensions": CONTRACT.dimensions,
        "max_length": CONTRACT.max_length,
        "engine": "engine",
        "response_cache_mb": 0,
        "tensorrt_version": None,
        "compute_capability": None,
        "files": files,
    } | changes
    return ReleaseRecord.model_validate({"id": release_id(files, str(values["target"])), **values})


def make_release(
    folder: Path,
    model: str,
    *,
    wrong: bool = False,
    precision: str = "fp32",
    cosine: float = 1.0,
    tensorrt: str | None = None,
) -> Release:
    """Write a release directory named by its id.

    Args:
        folder: Directory to write it into.
        model: Determines its vectors.
        wrong: Whether its reference belongs to another model.
        precision: Precision in its record.
        cosine: Cosine similarity of its vectors with its reference.
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
    (path / "repository" / "embedtune" / "1").mkdir(parents=True)
    CONTRACT.save(path / "repository" / "embedtune" / "1")
    (path / "repository" / "embedtune" / "1" / "name").write_text(model)
    pq.write_table(pa.Table.from_pylist(rows), path / "reference.parquet")
    built = {"tensorrt_version": tensorrt, "compute_capability": "9.0" if tensorrt else None}
    record = release_record(path, target="tensorrt" if tensorrt else "python-cpu", precision=precision, **built)
    write_record(path / RELEASE_FILE, record)
    path.rename(folder / record.id)
    return read_release(folder / record.id)


@dataclass
class FakeServing:
    """Serves any release except those that are known not to start."""

    releases: Path
    broken: set[str] = field(default_factory=set)
    served: str | None = None
    log: list[str] = field(default_factory=list)

    def current(self) -> str | None:
        return self.served

    def switch(self, release: Release) -> None:
        self.restore(release.id)

    def restore(self, name: str) -> None:
        self.log.append(name)
        self.served = name
        if name in self.broken:
            raise GateError(f"{name} does not start")

    def withdraw(self) -> None:
        self.served = None


@dataclass
class FakeEncoder:
    """The endpoint of a `FakeServing`."""

    serving: FakeServing
    fingerprint: str = "fake"

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        return self._encode("query", texts)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        return self._encode("passage", texts)

    def _encode(self, kind: str, texts: Sequence[str]) -> Vectors:
        path = self.serving.releases / str(self.serving.served) / "repository" / "embedtune" / "1" / "name"
        model = path.read_text()
        return np.asarray([vector(model, kind, text) for text in texts], dtype=np.float32)
