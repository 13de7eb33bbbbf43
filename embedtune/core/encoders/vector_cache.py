"""A cache of vectors by encoder and text, since three stages embed the same passages with the base model."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
QUERY_LIMIT = 500


class VectorCache:
    """A table of vectors on disk.

    A block is stored in one transaction: if the process is killed, it is stored completely or not at all.

    Args:
        directory: Directory of `vectors.sqlite`.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(directory / "vectors.sqlite", timeout=60)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Return the vectors in the cache, by key."""
        found: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), QUERY_LIMIT):
            part = keys[start : start + QUERY_LIMIT]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # noqa: S608
            found.update((key, np.frombuffer(vector, dtype=np.float32)) for key, vector in rows)
        return found

    def put(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Store one vector per key, all in one transaction."""
        rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


def vector_key(fingerprint: str, text: str) -> bytes:
    """Return the key of a text, including its prefix, for an encoder."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()[:16]
