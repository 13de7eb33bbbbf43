"""Stage ingest: cut documents into chunks, each with its near-duplicate group and its split."""

from pathlib import Path

import numpy as np

from embedtune.core.artifacts import StageReport
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.retrieval.union_find import Labels
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.core.storage import download_prefix
from embedtune.ingest.assign_splits import Membership, Occurrences, assign, families, refuse_giant
from embedtune.ingest.chunk_file import ChunkFile
from embedtune.ingest.chunker import Chunker
from embedtune.ingest.corpus import Corpus, near_duplicates, read_corpus
from embedtune.ingest.sources import Listing, check_records, list_sources
from embedtune.ingest.summary import summarise
from embedtune.ingest.tables import write_tables
from embedtune.ingest.tokens import TokenCounter


def run(source: str, output: Path, context: Context) -> StageReport:
    """Read documents, cut them into chunks, find near-duplicates, and decide the split of each document.

    Args:
        source: A folder, or `s3://bucket/prefix`.
        output: Directory to write the chunks artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        InputError: The source does not exist, or nothing in it can be read.
        GateError: Near-duplicates connect too much of the corpus for it to be split.
    """
    this = StageRun("ingest", output, context)
    config = context.config
    folder = Path(source)
    if source.startswith("s3://"):
        folder = download_prefix(source, context.cache / "documents", config.storage, context.secrets)
    listing = list_sources(folder, config.ingest, context.progress)
    return this.write({"documents": listing.fingerprint}, lambda path: _ingest(listing, path, context))


def _ingest(listing: Listing, path: Path, context: Context) -> Outcome:
    config, progress = context.config, context.progress
    check_records(listing, config.ingest.records)
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    chunker = Chunker(config.ingest, config.contract, TokenCounter(base, config.contract))
    with ChunkFile(context.cache / "ingest" / "chunks.jsonl") as chunks:
        corpus = read_corpus(listing, chunker, chunks, config.ingest, progress)
        groups = near_duplicates(corpus, config.ingest, progress)
        membership = _membership(corpus, groups, config.ingest, config.seed)
        write_tables(path, corpus, groups, membership)
        metrics, notes = summarise(corpus, groups, membership, config)
        counts = {"documents": len(corpus.documents), "chunks": len(chunks), "skipped": len(corpus.skipped)}
        return Outcome(counts, metrics, notes)


def _membership(corpus: Corpus, groups: Labels, settings: IngestSettings, seed: int) -> Membership:
    documents = np.frombuffer(corpus.owners, dtype=np.uint32).astype(np.int64)
    occurrences = Occurrences(documents, groups)
    boilerplate = occurrences.boilerplate(settings.boilerplate_documents)
    family = families(occurrences, boilerplate, len(corpus.documents))
    paths = [item.path for item in corpus.documents]
    refuse_giant(occurrences, boilerplate, family, settings.max_component_share, paths, corpus.text)
    chunks = np.bincount(documents, minlength=len(paths))
    doc_ids = [item.doc_id for item in corpus.documents]
    return Membership(boilerplate, family, assign(family, chunks, doc_ids, settings, seed))
