"""What reading a file gave, kept on disk until the artifact is complete, so that an interrupted ingest goes on.

The result of a file is a file of JSON lines: for each document a line about it and a line per chunk, and a line
for each document that cannot be used. It exists as a whole or not at all. Results are named by the path and the
hash of the file, in a directory named by what else they depend on: settings, contract and code.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from embedtune.core.artifacts import Provenance
from embedtune.ingest.chunk_file import ChunkRow
from embedtune.ingest.sources import Source

PREFIX = "read-"


class DocumentRow(TypedDict):
    """A document that was read.

    Its id is the first twelve hex digits of the hash of its path: that of its file, followed by `#` and its key if
    the file holds several. Its sha256 is that of its file, or if there are several, of its text and metadata.
    """

    doc_id: str
    path: str
    sha256: str
    title: str
    n_words: int
    suffix: str
    remarks: list[str]
    metadata: dict[str, str]


class Line(TypedDict, total=False):
    """One line of a result: a document, one of its chunks, or a document that cannot be used.

    A chunk has a key that is equal for texts with the same shingles, and the first of its shingles for its sketch.
    """

    document: DocumentRow
    chunk: ChunkRow
    key: int
    shingles: str
    skipped: str
    reason: str


@dataclass(frozen=True)
class Results:
    """The results that are on disk.

    Args:
        folder: Directory of the results of these settings and this code.
    """

    folder: Path

    @classmethod
    def open(cls, cache: Path, provenance: Provenance) -> "Results":
        """Return the results of the same settings and code; those of others are removed.

        Args:
            cache: Directory that holds nothing else whose name begins with `read-`.
            provenance: What a result depends on, apart from its file.
        """
        name = PREFIX + hashlib.sha256(repr(provenance).encode()).hexdigest()[:16]
        for other in sorted(cache.glob(f"{PREFIX}*")):
            if other.name != name:
                shutil.rmtree(other)
        return cls(cache / name)

    def remove(self) -> None:
        """Remove them all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def missing(self, sources: Sequence[Source]) -> list[Source]:
        """Return the files that have no result."""
        return [source for source in sources if not self._path(source).is_file()]

    def write(self, source: Source, lines: Iterable[Line]) -> None:
        """Keep the result of a file.

        Raises:
            OSError: It cannot be written.
        """
        path = self._path(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        with partial.open("w", encoding="ascii") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
        partial.replace(path)

    def read(self, source: Source) -> Iterator[Line]:
        """Yield the lines of the result of a file."""
        with self._path(source).open(encoding="ascii") as file:
            for line in file:
                found: Line = json.loads(line)
                yield found

    def _path(self, source: Source) -> Path:
        name = hashlib.sha256(f"{source.name}\n{source.sha256}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.jsonl"
