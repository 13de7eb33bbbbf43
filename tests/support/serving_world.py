"""Releases on paper and an endpoint in memory: vectors are a function of the text and of the release."""

import hashlib
import json
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
from embedtune.serve.release.record import release_id

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


def make_release(
    folder: Path,
    model: str,
    *,
    wrong: bool = False,
    precision: str = "fp32",
    cosine: float = 1.0,
    tensorrt: str | None = None,
) -> str:
    """Write a release directory named by its id.

    Args:
        folder: Where.
        model: Decides its vectors.
        wrong: Its reference is of another model.
        precision: What it says of itself.
        cosine: Of its vectors and its reference.
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
    files = {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    target = "tensorrt" if tensorrt else "python-cpu"
    name = release_id(files, target)
    about = {"id": name, "target": target, "precision": precision, "model_name": "embedtune", "files": files}
    about |= {"tensorrt_version": tensorrt, "compute_capability": "9.0" if tensorrt else None}
    (path / "release.json").write_text(json.dumps(about))
    path.rename(folder / name)
    return name


@dataclass
class FakeServing:
    """Serves what it is told to, unless that is known not to start."""

    releases: Path
    broken: set[str] = field(default_factory=set)
    served: str | None = None
    log: list[str] = field(default_factory=list)

    def current(self) -> str | None:
        return self.served

    def switch(self, release: str) -> None:
        self.log.append(release)
        self.served = release
        if release in self.broken:
            raise GateError(f"{release} does not start")

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
