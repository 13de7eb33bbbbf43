"""The first pass: reads each document once, writes its chunks to disk, keeps numbers and sketches in memory."""

import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import Progress
from embedtune.core.retrieval.near_duplicates import Sketches, Thresholds, group
from embedtune.core.retrieval.shingles import shingles, words
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.chunk_file import ChunkFile, ChunkRow
from embedtune.ingest.chunker import Chunk, Chunker
from embedtune.ingest.entries import Found, Unread
from embedtune.ingest.reading import read_documents
from embedtune.ingest.sources import Listing, Skipped, Source, document_id

log = logging.getLogger(__name__)
SHOWN_SKIPPED = 5  # of the documents of one file; all are in skipped.parquet


@dataclass(frozen=True)
class Document:
    """A document that was read.

    Args:
        doc_id: The first twelve hex digits of the hash of its path.
        path: The path of its file, followed by `#` and its key if the file holds several.
        sha256: The hash of its file, or of its text and metadata if the file holds several.
        title: Its first heading, else the name of the file or its key.
        n_words: Number of its words.
        suffix: The extension of its file.
        remarks: What its user should know.
        metadata: What a record says about itself.
    """

    doc_id: str
    path: str
    sha256: str
    title: str
    n_words: int
    suffix: str
    remarks: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Corpus:
    """All documents, and what later passes need to know about each chunk, in order: 160 bytes per chunk.

    Args:
        chunks: The chunks themselves, on disk.
        documents: The documents that were read, by path.
        skipped: The files that were not read, and why.
        owners: Number of the document of each chunk.
        ids: The chunk_id of each chunk as a number.
        keys: A number per chunk that is equal for texts with the same shingles.
        words: Number of words of each chunk.
        tokens: Number of tokens of each chunk.
        sketches: The sketch of each chunk, for finding near-duplicates.
    """

    chunks: ChunkFile
    documents: list[Document] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    owners: "array[int]" = field(default_factory=lambda: array("I"))
    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    words: "array[int]" = field(default_factory=lambda: array("I"))
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    sketches: Sketches = field(default_factory=Sketches)

    def text(self, number: int) -> str:
        """Return the text of a chunk."""
        return self.chunks[number]["text"]

    def add(self, source: Source, chunker: Chunker, settings: IngestSettings) -> None:
        """Read the documents of a file and store their chunks; those that cannot be used are listed as skipped.

        Raises:
            UnreadableError: The file, or the rest of it, cannot be read, or its only document is too short.
        """
        for found in read_documents(source.name, source.path, settings.records):
            if isinstance(found, Unread):
                self.skipped.append(Skipped(f"{source.name}#{found.key}", found.reason))
                continue
            n_words = len(words(found.extract.text))
            if n_words >= settings.min_document_words:
                self._add(source, found, n_words, chunker)
                continue
            reason = f"too short: {n_words} words, at least {settings.min_document_words} are needed"
            self.skipped.append(Skipped(found.name(source.name), reason))

    def _add(self, source: Source, found: Found, n_words: int, chunker: Chunker) -> None:
        path = PurePosixPath(source.name)
        name = found.name(source.name)
        doc_id = document_id(name)
        for position, chunk in enumerate(chunker.chunks(found.extract)):
            hashes = shingles(chunk.text)
            self.sketches.add(hashes)
            key = hashlib.blake2b(hashes.tobytes() or chunk.text.encode(), digest_size=8).digest()
            self.keys.append(int.from_bytes(key, "little"))
            self.owners.append(len(self.documents))
            self.ids.append(int(chunk.chunk_id, 16))
            self.words.append(chunk.n_words)
            self.tokens.append(chunk.n_tokens)
            self.chunks.append(_row(chunk, doc_id, position))
        document = Document(
            doc_id=doc_id,
            path=name,
            sha256=found.sha256(source.sha256),
            title=found.extract.title(found.key or path.stem),
            n_words=n_words,
            suffix=path.suffix.lower(),
            remarks=found.extract.remarks,
            metadata=found.metadata,
        )
        self.documents.append(document)


def _row(chunk: Chunk, doc_id: str, position: int) -> ChunkRow:
    return {
        "chunk_id": chunk.chunk_id,
        "doc_id": doc_id,
        "text": chunk.text,
        "heading_path": list(chunk.heading_path),
        "position": position,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
        "n_words": chunk.n_words,
        "n_tokens": chunk.n_tokens,
    }


def read_corpus(
    listing: Listing, chunker: Chunker, chunks: ChunkFile, settings: IngestSettings, progress: Progress
) -> Corpus:
    """Read every document; those that cannot be read are listed as skipped.

    Args:
        listing: The documents.
        chunker: Cuts them into chunks.
        chunks: The file to store the chunks in.
        settings: The shortest document that is used.
        progress: Updated once per document.

    Raises:
        InputError: No document can be read.
    """
    corpus = Corpus(chunks, skipped=list(listing.skipped))
    with progress.task("read documents", len(listing.sources), "files") as task:
        for source in listing.sources:
            reported = len(corpus.skipped)
            try:
                corpus.add(source, chunker, settings)
            except UnreadableError as error:
                corpus.skipped.append(Skipped(source.name, error.what))
            for item in corpus.skipped[reported : reported + SHOWN_SKIPPED]:
                log.warning("skipped %s: %s", item.path, item.reason)
            if (more := len(corpus.skipped) - reported - SHOWN_SKIPPED) > 0:
                log.warning("skipped %d more documents of %s", more, source.name)
            task.note(f"{len(corpus.documents)} documents, {len(chunks)} chunks")
            task.advance()
    if not corpus.documents:
        reasons = Counter(item.reason for item in corpus.skipped).most_common(3)
        raise InputError(
            "no document can be read",
            got="; ".join(f"{count} files: {reason}" for reason, count in reasons) or "no files",
            expected="formats that docs/documents.md lists",
        )
    return corpus


def near_duplicates(corpus: Corpus, settings: IngestSettings, progress: Progress) -> Labels:
    """Return the cluster of near-duplicates that each chunk belongs to.

    Texts with equal shingles are compared only once.

    Args:
        corpus: The result of the first pass.
        settings: The thresholds.
        progress: Updated once per batch of chunks.
    """
    keys = np.frombuffer(corpus.keys, dtype=np.uint64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rows = np.sort(first)
    thresholds = Thresholds(settings.near_duplicate_jaccard, settings.near_duplicate_containment)
    with progress.task("find near-duplicates", len(rows), "chunks") as task:
        labels = group(corpus.sketches, rows, corpus.text, thresholds, task.advance)
    return labels[np.searchsorted(rows, first)[inverse]]
