"""The first pass: read each document once, spool its chunks, keep numbers and sketches in memory."""

import hashlib
import logging
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import Progress
from embedtune.core.retrieval.near_duplicates import Sketches, Thresholds, group
from embedtune.core.retrieval.shingles import shingles, words
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.chunker import Chunker
from embedtune.ingest.reading import read_document
from embedtune.ingest.sources import Listing, Skipped, Source
from embedtune.ingest.spool import Spool

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """A document that was read."""

    doc_id: str
    path: str
    sha256: str
    title: str
    n_words: int


@dataclass
class Corpus:
    """All documents, and of each chunk, in order, what later passes need: 160 bytes.

    Args:
        spool: The chunks themselves.
        documents: What was read, by path.
        skipped: What was not, and why.
        owners: Number of the document of each chunk.
        ids: Its chunk_id as a number.
        keys: Equal for texts with the same shingles.
        words: Its words.
        tokens: Its tokens.
        sketches: For near-duplicates.
    """

    spool: Spool
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
        return str(self.spool[number]["text"])

    def add(self, source: Source, chunker: Chunker, settings: IngestSettings) -> None:
        """Read one document and spool its chunks.

        Raises:
            UnreadableError: It cannot be read, or is too short.
        """
        extract = read_document(source.path)
        n_words = len(words(extract.text))
        if n_words < settings.min_document_words:
            raise UnreadableError(f"too short: {n_words} words, at least {settings.min_document_words}")
        title = extract.title(source.path.stem)
        for position, chunk in enumerate(chunker.chunks(extract)):
            found = shingles(chunk.text)
            self.sketches.add(found)
            key = hashlib.blake2b(found.tobytes() or chunk.text.encode(), digest_size=8).digest()
            self.keys.append(int.from_bytes(key, "little"))
            self.owners.append(len(self.documents))
            self.ids.append(int(chunk.chunk_id, 16))
            self.words.append(chunk.n_words)
            self.tokens.append(chunk.n_tokens)
            self.spool.append({**vars(chunk), "doc_id": source.doc_id, "position": position})
        self.documents.append(Document(source.doc_id, source.name, source.sha256, title, n_words))


def read_corpus(
    listing: Listing, chunker: Chunker, spool: Spool, settings: IngestSettings, progress: Progress
) -> Corpus:
    """Read every document; those that cannot be read are listed.

    Raises:
        InputError: None can be read.
    """
    corpus = Corpus(spool, skipped=list(listing.skipped))
    with progress.task("read documents", len(listing.sources), "documents") as task:
        for source in listing.sources:
            try:
                corpus.add(source, chunker, settings)
            except UnreadableError as error:
                log.warning("%s is skipped: %s", source.name, error.what)
                corpus.skipped.append(Skipped(source.name, error.what))
            task.note(f"{len(spool)} chunks")
            task.advance()
    if not corpus.documents:
        reasons = Counter(item.reason for item in corpus.skipped).most_common(3)
        raise InputError(
            "no document can be read",
            got="; ".join(f"{count} files: {reason}" for reason, count in reasons) or "no files",
            expected="Markdown, reStructuredText, text, HTML, PDF or DOCX",
        )
    return corpus


def near_duplicates(corpus: Corpus, settings: IngestSettings, progress: Progress) -> Labels:
    """Return the cluster of near-duplicates of each chunk. Texts with equal shingles are compared once.

    Args:
        corpus: From the first pass.
        settings: The thresholds.
        progress: Where to report.
    """
    keys = np.frombuffer(corpus.keys, dtype=np.uint64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rows = np.sort(first)
    thresholds = Thresholds(settings.near_duplicate_jaccard, settings.near_duplicate_containment)
    with progress.task("find near-duplicates", len(rows), "chunks") as task:
        labels = group(corpus.sketches, rows, corpus.text, thresholds, task.advance)
    return labels[np.searchsorted(rows, first)[inverse]]
