"""Stage ingest: cut documents into chunks, each with its near-duplicate group and its split."""

from pathlib import Path

import numpy as np

from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.retrieval.union_find import Labels
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.core.storage import download_prefix
from embedtune.ingest.assign_splits import Membership, membership
from embedtune.ingest.chunk_file import ChunkFile
from embedtune.ingest.chunker import Chunker
from embedtune.ingest.corpus import Corpus, near_duplicates, read_corpus
from embedtune.ingest.families import Occurrences
from embedtune.ingest.parse import Parser
from embedtune.ingest.results import Results
from embedtune.ingest.sources import Listing, Source, check_records, list_sources
from embedtune.ingest.summary import summarise
from embedtune.ingest.tables import write_tables
from embedtune.ingest.tokens import TokenCounter
from embedtune.ingest.workers import Workers, process_count


def run(source: str, output: Path, context: Context) -> StageReport:
    """Read documents, cut them into chunks, find near-duplicates, and decide the split of each document.

    Args:
        source: A folder, or `s3://bucket/prefix`.
        output: Directory to write the chunks artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        InputError: The source does not exist, or nothing in it can be read.
    """
    this = StageRun("ingest", output, context)
    config = context.config
    folder = Path(source)
    if source.startswith("s3://"):
        folder = download_prefix(source, context.cache / "documents", config.storage, context.secrets)
    listing = list_sources(folder, config.ingest, context.progress)
    inputs = {"documents": listing.fingerprint}
    # What was read is kept until the artifact is complete, so that an interrupted ingest goes on.
    results = Results.open(context.cache / "ingest", this.provenance({}))
    report = this.write(inputs, lambda path: _ingest(listing, results, path, context))
    results.remove()
    return report


def _ingest(listing: Listing, results: Results, path: Path, context: Context) -> Outcome:
    config, progress = context.config, context.progress
    check_records(listing, config.ingest.records)
    unread = results.missing(listing.sources)
    with (
        # They start while this process loads the tokenizer.
        Workers[Source, None](process_count(unread, config.runtime.processes), config.ingest) as workers,
        ChunkFile(context.cache / "ingest" / "chunks.jsonl") as chunks,
    ):
        base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
        chunker = Chunker(config.ingest, config.contract, TokenCounter(base, config.contract))
        corpus = read_corpus(listing, Parser(chunker, config.ingest, results), workers, chunks, progress)
        groups = near_duplicates(corpus, config.ingest, progress)
        splitting = _membership(corpus, groups, config)
        write_tables(path, corpus, groups, splitting)
        metrics, notes = summarise(corpus, groups, splitting, config)
        counts = {"documents": len(corpus.documents), "chunks": len(chunks), "skipped": len(corpus.skipped)}
        return Outcome(counts, metrics, notes)


def _membership(corpus: Corpus, groups: Labels, config: Config) -> Membership:
    documents = np.frombuffer(corpus.owners, dtype=np.uint32).astype(np.int64)
    doc_ids = [item["doc_id"] for item in corpus.documents]
    occurrences = Occurrences(documents, groups)
    return membership(occurrences, doc_ids, corpus.headings, config.ingest, config.seed)
