"""The first pass: has each file read once, writes its chunks to disk, keeps numbers and sketches in memory."""

import logging
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import Progress
from embedtune.core.retrieval.near_duplicates import Sketches, Thresholds, group
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.chunk_file import ChunkFile
from embedtune.ingest.parse import Parser, first_shingles
from embedtune.ingest.results import DocumentRow, Results
from embedtune.ingest.sources import Listing, Skipped, Source
from embedtune.ingest.workers import Failed, Workers

log = logging.getLogger(__name__)
SHOWN_SKIPPED = 5  # of the documents of one file; all are in skipped.parquet


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
    documents: list[DocumentRow] = field(default_factory=list)
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

    def headings(self, number: int) -> list[str]:
        """Return the headings above a chunk."""
        return self.chunks[number]["heading_path"]

    def add(self, source: Source, results: Results) -> None:
        """Store the documents of a file that was read; those that cannot be used are listed as skipped."""
        for line in results.read(source):
            if "skipped" in line:
                self.skipped.append(Skipped(line["skipped"], line["reason"]))
                continue
            if "document" in line:
                self.documents.append(line["document"])
                continue
            chunk = line["chunk"]
            self.sketches.add(first_shingles(line))
            self.keys.append(line["key"])
            self.owners.append(len(self.documents) - 1)
            self.ids.append(int(chunk["chunk_id"], 16))
            self.words.append(chunk["n_words"])
            self.tokens.append(chunk["n_tokens"])
            self.chunks.append(chunk)


def read_corpus(
    listing: Listing, parser: Parser, workers: Workers[Source, None], chunks: ChunkFile, progress: Progress
) -> Corpus:
    """Have every file read; what cannot be read is listed as skipped. The order is that of the listing.

    Args:
        listing: The documents.
        parser: Reads a file and cuts it into chunks.
        workers: The processes that do it.
        chunks: The file to store the chunks in.
        progress: Updated once per file.

    Raises:
        InputError: No document can be read.
    """
    corpus = Corpus(chunks, skipped=list(listing.skipped))
    with progress.task("read documents", len(listing.sources), "files") as task:
        for source, failed, fresh in _in_order(listing.sources, parser, workers):
            reported = len(corpus.skipped)
            if failed is None:
                corpus.add(source, parser.results)
            else:
                corpus.skipped.append(Skipped(source.name, failed.reason))
            _warn(source, corpus.skipped[reported:])
            task.note(f"{len(corpus.documents)} documents, {len(chunks)} chunks")
            if fresh:
                task.advance()
            else:
                task.skip()
    if not corpus.documents:
        reasons = Counter(item.reason for item in corpus.skipped).most_common(3)
        raise InputError(
            "no document can be read",
            got="; ".join(f"{count} files: {reason}" for reason, count in reasons) or "no files",
            expected="formats that docs/documents.md lists",
        )
    return corpus


def _in_order(
    sources: list[Source], parser: Parser, workers: Workers[Source, None]
) -> Iterator[tuple[Source, Failed | None, bool]]:
    """Yield each file once it is read, what went wrong, and whether it was read now, not by an interrupted run."""
    unread = parser.results.missing(sources)
    if len(unread) < len(sources):
        log.info("%d of %d files were read by an earlier run", len(sources) - len(unread), len(sources))
    finished = workers.run(parser, unread)
    now = {source.name for source in unread}
    waiting = set(now)
    failures: dict[str, Failed] = {}
    for source in sources:
        while source.name in waiting:
            number, failed = next(finished)
            waiting.discard(unread[number].name)
            if failed is not None:
                failures[unread[number].name] = failed
        yield source, failures.get(source.name), source.name in now


def _warn(source: Source, skipped: list[Skipped]) -> None:
    for item in skipped[:SHOWN_SKIPPED]:
        log.warning("skipped %s: %s", item.path, item.reason)
    if (more := len(skipped) - SHOWN_SKIPPED) > 0:
        log.warning("skipped %d more documents of %s", more, source.name)


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
