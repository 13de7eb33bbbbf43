"""Reads one file and cuts its documents into chunks, whatever its reader does."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import EmbedtuneError
from embedtune.core.retrieval.near_duplicates import SKETCH
from embedtune.core.retrieval.shingles import Hashes, shingles, words
from embedtune.ingest import time_limit
from embedtune.ingest.chunk_file import ChunkRow
from embedtune.ingest.chunker import Chunk, Chunker
from embedtune.ingest.entries import Found, Unread
from embedtune.ingest.reading import read_documents
from embedtune.ingest.results import DocumentRow, Line, Results
from embedtune.ingest.sources import Source, document_id


@dataclass(frozen=True)
class Parser:
    """Reads files; it can be sent to another process.

    Args:
        chunker: Cuts documents into chunks.
        settings: How records are read, and the shortest document that is used.
        results: Keeps what it finds.
    """

    chunker: Chunker
    settings: IngestSettings
    results: Results

    def __call__(self, source: Source) -> None:
        """Read a file and keep the result.

        Raises:
            OSError: The result cannot be written.
        """
        self.results.write(source, self._lines(source))

    def _lines(self, source: Source) -> Iterator[Line]:
        documents = read_documents(source.name, source.path, self.settings.records)
        while True:
            time_limit.restart()
            try:
                found = next(documents, None)
                lines = [] if found is None else self._document(source, found)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # also SystemExit, and the panics of libraries in Rust
                yield {"skipped": source.name, "reason": _reason(error)}
                return
            if found is None:
                return
            yield from lines

    def _document(self, source: Source, found: Found | Unread) -> list[Line]:
        if isinstance(found, Unread):
            return [{"skipped": _valid(f"{source.name}#{found.key}"), "reason": _valid(found.reason)}]
        name = _valid(found.name(source.name))
        path = PurePosixPath(source.name)
        n_words, fewest = len(words(found.extract.text)), self.settings.min_document_words
        if n_words < fewest:
            few = "1 word" if n_words == 1 else f"{n_words} words"
            return [{"skipped": name, "reason": f"too short: {few}, at least {fewest} are needed"}]
        document: DocumentRow = {
            "doc_id": document_id(name),
            "path": name,
            "sha256": found.sha256(source.sha256),
            "title": found.extract.title(found.key or path.stem),
            "n_words": n_words,
            "suffix": path.suffix.lower(),
            "remarks": list(found.extract.remarks),
            "metadata": {name: _valid(value) for name, value in found.metadata.items()},
        }
        chunks = self.chunker.chunks(found.extract)
        return [{"document": document}, *(_line(chunk, document, n) for n, chunk in enumerate(chunks))]


def _line(chunk: Chunk, document: DocumentRow, position: int) -> Line:
    hashes = shingles(chunk.text)
    key = hashlib.blake2b(hashes.tobytes() or chunk.text.encode(), digest_size=8).digest()
    row: ChunkRow = {
        "chunk_id": chunk.chunk_id,
        "doc_id": document["doc_id"],
        "text": chunk.text,
        "heading_path": list(chunk.heading_path),
        "position": position,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
        "n_words": chunk.n_words,
        "n_tokens": chunk.n_tokens,
    }
    first = base64.b85encode(hashes[: SKETCH + 1].astype("<u8").tobytes()).decode()
    return {"chunk": row, "key": int.from_bytes(key, "little"), "shingles": first}


def first_shingles(line: Line) -> Hashes:
    """Return the first shingles of a chunk: as many as its sketch needs, and one more."""
    return np.frombuffer(base64.b85decode(line["shingles"]), dtype="<u8").astype(np.uint64)


def _valid(text: str) -> str:
    """Return text without lone surrogates, which JSON may contain and Parquet must not."""
    return text.encode("utf-8", "replace").decode()


def _reason(error: BaseException) -> str:
    if isinstance(error, EmbedtuneError):
        return _valid(error.what)
    if isinstance(error, MemoryError):
        return "takes too much memory (ingest.max_file_memory_gb)"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return _valid(f"cannot be read: {type(error).__name__}: {error}"[:200])
