"""Vectors that one task has computed for others: a file that is written once and then only read.

It has the table of the vector cache: per vector a key and the numbers as float32, 8.7 kB for 2,048 numbers.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from embedtune.core.artifacts import file_sha256
from embedtune.core.encoders.vector_cache import TABLE, VECTORS_FILE, Vectors, found_vectors
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.base_vectors import BASE_VECTORS_FILE, BaseVectors


class VectorWriter:
    """Writes the file; use `new_vector_file`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Add one vector per key, which no earlier call has added."""
        order = sorted(range(len(keys)), key=keys.__getitem__)  # in the order of the table, which is much faster
        with self._db:
            self._db.executemany(
                "INSERT INTO vectors VALUES (?, ?)", ((keys[row], vectors[row].tobytes()) for row in order)
            )


@contextmanager
def new_vector_file(directory: Path) -> Iterator[VectorWriter]:
    """Write the vectors of an empty directory; the file is complete when the block ends."""
    db = sqlite3.connect(directory / VECTORS_FILE)
    try:
        # No journal: after an error the directory is of no use anyway.
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.execute(TABLE)
        yield VectorWriter(db)
    finally:
        db.close()


def describe_vectors(directory: Path, passages: int, dimension: int, fingerprints: Sequence[str]) -> BaseVectors:
    """Write the record of a complete file.

    Args:
        directory: Directory of the file.
        passages: Number of distinct passages.
        dimension: Numbers per vector.
        fingerprints: The encoders, each of which has a vector of every passage.
    """
    file = directory / VECTORS_FILE
    record = BaseVectors(
        passages=passages,
        dimension=dimension,
        fingerprints=tuple(fingerprints),
        bytes=file.stat().st_size,
        sha256=file_sha256(file),
    )
    write_record(directory / BASE_VECTORS_FILE, record)
    return record


class VectorFile:
    """The finished file. Rows are read from the disk as they are asked for; nothing is ever written."""

    def __init__(self, directory: Path) -> None:
        # Immutable: no lock and no further file, so that the directory may be read-only.
        where = f"file:{quote(str((directory / VECTORS_FILE).resolve()))}?mode=ro&immutable=1"
        self._db = sqlite3.connect(where, uri=True)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Return those of the vectors that the file has, by key."""
        return found_vectors(self._db, keys)


def require_vectors(directory: Path) -> BaseVectors:
    """Check that a directory of vectors is what its record says.

    Raises:
        ArtifactError: The record or the vectors are missing, damaged or of another version.
    """
    record = read_record(directory / BASE_VECTORS_FILE, BaseVectors)
    file = directory / VECTORS_FILE
    again = f"run {BaseVectors.REMAKE} again"
    if not file.is_file():
        raise ArtifactError(f"{file} is missing", fix=again)
    if file.stat().st_size != record.bytes or file_sha256(file) != record.sha256:
        raise ArtifactError(f"{file} was changed after it was written", expected=record.sha256, fix=again)
    return record
