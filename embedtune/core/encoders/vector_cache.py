"""A cache of vectors by encoder and text, since three stages embed the same passages with the base model."""

import fcntl
import hashlib
import logging
import math
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from embedtune.core.machine_errors import naming

log = logging.getLogger(__name__)
Vectors = npt.NDArray[np.float32]
VECTORS_FILE = "vectors.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
QUERY_LIMIT = 500
ROOM = 0.8  # share of the limit that is left after pruning, so that it does not happen at every start
PRECISION = 3600  # seconds; a vector that is used again sooner keeps its time, which saves writing it
_locks: list[IO[str]] = []  # of this process: a lock is held until its file is closed


class VectorCache:
    """A table of vectors on disk.

    A block is stored in one transaction: if the process is killed, it is stored completely or not at all.

    A process that has opened a cache holds a shared lock on its `vectors.lock` until it ends. The first process to
    open it removes the vectors that have not been used for longest, if there are too many; a process that finds
    others in the cache removes nothing. So no vector that a running process has read or written is ever removed.

    Args:
        directory: Directory of `vectors.sqlite`.
        limit: Size in bytes above which it is pruned; None: never.
    """

    def __init__(self, directory: Path, limit: float | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / VECTORS_FILE
        with naming(self._path):
            self._db = sqlite3.connect(self._path, timeout=60)
            self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a new file follows it
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(TABLE)
            # A table of its own: changing a row of `vectors` would write its vector again.
            self._db.execute("CREATE TABLE IF NOT EXISTS uses (key BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID")
        self._now = int(time.time())
        lock = (directory / "vectors.lock").open("a")
        _locks.append(lock)
        if limit is not None and _locked(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._prune(limit)
        fcntl.flock(lock, fcntl.LOCK_SH)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Return the vectors in the cache, by key."""
        found = found_vectors(self._db, keys)
        with naming(self._path), self._db:
            self._used(list(found))
        return found

    def put(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Store one vector per key, all in one transaction."""
        rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        with naming(self._path), self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            self._used(keys)

    def _used(self, keys: Sequence[bytes]) -> None:
        rows = [(key, self._now, PRECISION) for key in keys]
        self._db.executemany(
            "INSERT INTO uses VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE at < excluded.at - ?",
            rows,
        )

    def _prune(self, limit: float) -> None:
        """Remove the vectors that have not been used for longest; those of earlier versions have no time."""
        before = self._bytes()
        while (size := self._bytes()) > limit:
            (count,) = self._db.execute("SELECT count(*) FROM vectors").fetchone()
            wanted = math.ceil(count * (1 - ROOM * limit / size))
            with self._db:
                self._db.execute(
                    "CREATE TEMP TABLE oldest AS SELECT key FROM vectors LEFT JOIN uses USING (key) "
                    "ORDER BY coalesce(at, 0), key LIMIT ?",
                    (wanted,),
                )
                self._db.execute("DELETE FROM vectors WHERE key IN (SELECT key FROM oldest)")
                self._db.execute("DELETE FROM uses WHERE key IN (SELECT key FROM oldest)")
                self._db.execute("DROP TABLE oldest")
            if count <= wanted:
                break
        if size < before:
            # As a script: `execute` stops this pragma after the first page.
            self._db.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
            log.info("vector cache: reduced from %.1f to %.1f GB", before / 1e9, size / 1e9)

    def _bytes(self) -> int:
        """Return the bytes of the pages in use."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def found_vectors(db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
    """Return those of the vectors that a table has, by key."""
    found: dict[bytes, Vectors] = {}
    for start in range(0, len(keys), QUERY_LIMIT):
        part = keys[start : start + QUERY_LIMIT]
        marks = ",".join("?" * len(part))
        rows = db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # noqa: S608
        found.update((key, np.frombuffer(vector, dtype=np.float32)) for key, vector in rows)
    return found


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def vector_key(fingerprint: str, text: str) -> bytes:
    """Return the key of a text, including its prefix, for an encoder."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()[:16]
