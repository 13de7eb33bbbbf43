"""The figures and warnings that the ingest stage reports."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from embedtune.core.artifacts import Figure
from embedtune.core.config.config import Config
from embedtune.core.formatting import counted
from embedtune.core.retrieval.beir import SPLITS
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.assign_splits import Membership
from embedtune.ingest.corpus import Corpus
from embedtune.ingest.families import Occurrences, connections

Metrics = dict[str, Figure]
MUCH_BOILERPLATE = 0.2
FEWEST_TESTED = 6  # with fewer families an interval is everything that a metric can be (ADR 0013)
ENOUGH_TESTED, LARGEST_TEST_SHARE = 8, 0.6
PERCENTILES = (5, 50, 95)
SHOWN_REMARKS, SHOWN_PATHS = 10, 3


def summarise(
    corpus: Corpus, groups: Labels, membership: Membership, config: Config
) -> tuple[Metrics, tuple[str, ...]]:
    """Return the metrics and the notes of a run.

    Args:
        corpus: The result of the first pass.
        groups: The cluster of near-duplicates of each chunk.
        membership: Boilerplate, families and splits.
        config: The bounds that the chunks are compared with.
    """
    words = np.frombuffer(corpus.words, dtype=np.uint32)
    tokens = np.frombuffer(corpus.tokens, dtype=np.uint32)
    distinct = len(np.unique(np.frombuffer(corpus.ids, dtype=np.uint64)))
    boilerplate = np.isin(groups, membership.boilerplate)
    metrics: Metrics = {
        "documents": len(corpus.documents),
        "skipped_files": len(corpus.skipped),
        "chunks": len(words),
        "distinct_chunks": distinct,
        "distinct_texts": len(np.unique(groups)),
        "boilerplate_share": round(float(boilerplate.mean()), 4),
        "families": len(membership.units.names),
        "border_chunks": int(np.count_nonzero(membership.border)),
        "truncated_share": round(float((tokens > config.contract.max_length).mean()), 4),
        "below_min_words_share": round(float((words < config.ingest.min_words).mean()), 4),
        "words_min": int(words.min()),
        **{f"words_p{p}": int(np.percentile(words, p)) for p in PERCENTILES},
        "words_max": int(words.max()),
        **{f"tokens_p{p}": int(np.percentile(tokens, p)) for p in PERCENTILES},
        "tokens_max": int(tokens.max()),
        **_formats(corpus),
        **_split_sizes(membership),
        "families_test": _tested(membership),
    }
    return metrics, (*_notes(corpus, metrics, config), *_cuts(corpus, groups, membership))


def _tested(membership: Membership) -> int:
    """Return how many families or parts of families questions of the test split can be about."""
    asked = (membership.splits == SPLITS.index("test")) & ~membership.border
    return len(np.unique(membership.units.of_chunks[asked]))


def _formats(corpus: Corpus) -> Metrics:
    suffixes = Counter(item["suffix"][1:] for item in corpus.documents)
    return {f"documents_{suffix}": count for suffix, count in sorted(suffixes.items())}


def _split_sizes(membership: Membership) -> Metrics:
    return {f"chunks_{split}": int(np.count_nonzero(membership.splits == n)) for n, split in enumerate(SPLITS)}


def _notes(corpus: Corpus, metrics: Metrics, config: Config) -> list[str]:
    notes = []
    if corpus.skipped:
        reasons = Counter(item.reason.partition(":")[0] for item in corpus.skipped).most_common(3)
        listed = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        left_out = counted(len(corpus.skipped), "file or record", "files or records")
        notes.append(f"skipped, and listed in skipped.parquet: {left_out}: {listed}")
    notes += _remarks(corpus)
    if float(metrics["truncated_share"]) > 0:
        notes.append(f"{metrics['truncated_share']:.1%} of the chunks are longer than contract.max_length")
    if float(metrics["boilerplate_share"]) > MUCH_BOILERPLATE:
        notes.append(
            f"{metrics['boilerplate_share']:.0%} of the chunks are found in too many documents and get no "
            "questions (ingest.boilerplate_documents)"
        )
    if int(metrics["families"]) < 3:
        notes.append(
            "fewer than three unrelated documents or parts of them: there is no dev split, nor a test split if "
            "there is only one; a document needs at least 16 chunks to be cut into parts"
        )
    return [*notes, *_too_few_to_test(metrics, config)]


def _too_few_to_test(metrics: Metrics, config: Config) -> list[str]:
    """Say that too few documents can be tested, before anything is spent, and with which share they would do."""
    tested, known, share = int(metrics["families_test"]), int(metrics["families"]), config.ingest.test_share
    if not 0 < tested < ENOUGH_TESTED or known < 3:
        return []
    # Documents differ in size: two more than enough.
    wanted = min(LARGEST_TEST_SHARE, math.ceil(20 * (ENOUGH_TESTED + 2) / known) / 20)
    advice = "add documents"
    if share < wanted and wanted * known >= ENOUGH_TESTED:
        train = 1 - config.ingest.dev_share - wanted
        advice += f", give the test more of them (ingest.test_share={wanted:g} with ingest.train_share={train:g})"
    about = counted(tested, "separate document")
    return [
        f"test questions can be about {about} at most; a gain can be told from chance from {FEWEST_TESTED} on, "
        f"and some get no question: {advice}, or let questions of your own decide (--eval-set)"
    ]


def _cuts(corpus: Corpus, groups: Labels, membership: Membership) -> Iterator[str]:
    """Yield a note for each family that was cut into parts, and for each what connects it."""
    documents = np.frombuffer(corpus.owners, dtype=np.uint32).astype(np.int64)
    paths = [item["path"] for item in corpus.documents]
    for members in membership.units.cut:
        mine = np.isin(documents, members)
        found = len(np.unique(membership.units.of_chunks[mine]))
        name = paths[int(members[0])] if len(members) == 1 else f"{len(members)} documents with near-duplicates"
        lost = int(np.count_nonzero(membership.border & mine))
        yield (
            f"{name}: {mine.mean():.0%} of the chunks, more than ingest.max_component_share; cut at section "
            f"borders into {found} parts, and {lost} chunks next to a border between splits get no questions"
        )
        occurrences = Occurrences(documents, groups)
        yield from connections(occurrences, membership.boilerplate, members, paths, corpus.text)


def _remarks(corpus: Corpus) -> list[str]:
    """Return a note for each kind of remark: the documents if there are few, else their number."""
    found: dict[str, list[str]] = {}
    for document in corpus.documents:
        for remark in document["remarks"]:
            found.setdefault(remark, []).append(document["path"])
    notes = []
    for remark, paths in sorted(found.items(), key=lambda item: -len(item[1]))[:SHOWN_REMARKS]:
        shown = ", ".join(paths[:SHOWN_PATHS]) + (", …" if len(paths) > SHOWN_PATHS else "")
        notes.append(f"{remark}: {shown}" if len(paths) == 1 else f"{remark}: {len(paths)} documents ({shown})")
    if len(found) > SHOWN_REMARKS:
        notes.append(f"{len(found) - SHOWN_REMARKS} more kinds of remarks are in documents.parquet")
    return notes
