"""Forgets withdrawn documents and queries: they leave the work directory, the LLM cache, releases and feedback."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from embedtune.core.records.curve import CURVE_FOLDER
from embedtune.core.records.reviews import REVIEWS_FILE, write_reviews
from embedtune.core.retrieval.beir import read_records
from embedtune.core.retrieval.quoted_answers import normal
from embedtune.core.stage import STAGES
from embedtune.generate.reply_source import REPLIES
from embedtune.llm.cache import ResponseCache
from embedtune.local.checked_set import CHECKED_SET
from embedtune.local.forget_feedback import FeedbackFound, FeedbackPlace, Withdrawn
from embedtune.local.reviews import known_reviews
from embedtune.local.search_index import INDEX
from embedtune.local.tuned_bases import BASES_FOLDER
from embedtune.local.withdrawn_text import WithdrawnText, read_withdrawn
from embedtune.report.card import CARD_FILE
from embedtune.report.page import REPORT_FILE
from embedtune.report.questions_page import QUESTIONS_FILE
from embedtune.serve.release.record import REFERENCE_FILE
from embedtune.serve.store.records import Published
from embedtune.serve.store.store import ReleaseStore

# In the cache directory, only these are kept: what was paid for, what has no text of documents in it, and the
# release store, of which single releases are deleted.
KEPT = (f"{REPLIES}*", "bundles-*", "base", "native", "store")


@dataclass(frozen=True)
class Forgetting:
    """What has to go so that nothing repeats the text of withdrawn documents.

    Attributes:
        work: The work directory.
        withdrawn: The documents and their text, and the queries.
        reviews: Ids of the questions about them that people decided on.
        replies: Keys of the LLM replies about them, and of those that may be about any document.
        kept_replies: Number of the other replies.
        paths: Files and directories with their text, or with text of any documents.
        releases: Stored releases whose reference texts quote them, without the live one.
        still_live: The live release, if its reference texts quote them; else "".
        feedback: The feedback about them.
    """

    work: Path
    withdrawn: Withdrawn
    reviews: tuple[str, ...]
    replies: tuple[str, ...]
    kept_replies: int
    paths: tuple[Path, ...]
    releases: tuple[str, ...]
    still_live: str
    feedback: tuple[FeedbackFound, ...] = ()

    def sentences(self) -> list[str]:
        """What will be deleted, and what the user has to do."""
        paths = [str(path.relative_to(self.work)) for path in self.paths]
        said = []
        if (text := self.withdrawn.text) is not None:
            count = len(text.paths)
            said = [
                f"{count} document{'s' if count > 1 else ''} with {len(text.chunk_ids)} passages",
                f"deletes {len(self.replies)} LLM replies about them or about unknown documents; keeps "
                f"{self.kept_replies}",
            ]
        said.append(f"deletes in {self.work}: {', '.join(paths) or 'nothing'}")
        said += [found.sentence for found in self.feedback]
        if self.reviews:
            said.append(f"deletes {len(self.reviews)} decisions about questions on them; keeps the others")
        if self.releases:
            said.append(f"deletes releases whose reference texts quote them: {', '.join(self.releases)}")
        if self.still_live:
            said.append(
                f"the live release quotes them and is not deleted: {self.still_live}; deploy a new one, then run "
                f"`embedtune release delete {self.still_live}`"
            )
        other = "" if self.feedback else " feedback (name its place with --feedback),"
        said.append(
            f"not deleted: the documents themselves, your index,{other} your own evaluation sets and recordings, "
            "and the model where it is served"
        )
        return said


def what_to_forget(
    work: Path,
    names: Sequence[str],
    store: ReleaseStore,
    places: Sequence[FeedbackPlace] = (),
    queries: Sequence[str] = (),
) -> Forgetting:
    """Find everything that repeats the text of documents, or the queries. Nothing is changed.

    Args:
        work: The work directory.
        names: Paths of the documents as ingest read them, or their ids; none: only the queries go.
        store: The release store.
        places: Where feedback is kept.
        queries: Queries of people.

    Raises:
        InputError: The work directory has no such document.
    """
    withdrawn = Withdrawn(read_withdrawn(work, names) if names else None, tuple(queries))
    feedback = tuple(place.forget(withdrawn, delete=False) for place in places)
    if (text := withdrawn.text) is None:
        paths = tuple(_paths(work)) if _asked_in(work, withdrawn) else ()
        return Forgetting(work, withdrawn, (), (), 0, paths, (), "", feedback)
    keys, total = _replies(work / "cache", text)
    quoting = [release.id for release in store.releases() if _quotes(store, release, text)]
    live = store.pointer().live
    still_live = live if live in quoting else ""
    return Forgetting(
        work=work,
        withdrawn=withdrawn,
        reviews=tuple(_reviews(work, text)),
        replies=tuple(keys),
        kept_replies=total - len(keys),
        paths=tuple(_paths(work)),
        releases=tuple(name for name in quoting if name != still_live),
        still_live=still_live,
        feedback=feedback,
    )


def forget(found: Forgetting, store: ReleaseStore, places: Sequence[FeedbackPlace] = ()) -> None:
    """Delete what `what_to_forget` found; after an interruption, the same command deletes the rest.

    Args:
        found: What has to go.
        store: The release store.
        places: Where feedback is kept.
    """
    for place in places:
        place.forget(found.withdrawn, delete=True)
    if found.reviews:
        kept = [review for name, review in known_reviews(found.work).items() if name not in found.reviews]
        write_reviews(found.work / REVIEWS_FILE, kept)
    if found.replies:
        with ResponseCache(found.work / "cache" / REPLIES) as cache:
            cache.delete(found.replies)
    if found.releases:
        store.delete(found.releases)
    # The chunks go last: an interrupted command needs them to know the text.
    for path in sorted(found.paths, key=lambda path: path.name == "chunks"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _asked_in(work: Path, withdrawn: Withdrawn) -> bool:
    """Return whether the dataset has one of the queries: people's questions are in it with split.human_pairs."""
    queries = work / "dataset" / "queries.jsonl"
    return queries.is_file() and any(normal(record.text) in withdrawn.asked for record in read_records(queries))


def _reviews(work: Path, text: WithdrawnText) -> list[str]:
    """Return the ids of the reviewed questions about the documents."""
    reviewed = known_reviews(work)
    names: set[str] = set()
    for file in ("questions.parquet", "rejected.parquet"):
        if reviewed and (work / "questions" / file).is_file():
            rows = pq.read_table(work / "questions" / file, columns=["question_id", "chunk_ids"]).to_pylist()
            names |= {row["question_id"] for row in rows if not text.chunk_ids.isdisjoint(row["chunk_ids"])}
    return sorted(names & {*reviewed})


def _replies(cache: Path, text: WithdrawnText) -> tuple[list[str], int]:
    if not (cache / REPLIES).is_file():
        return [], 0
    with ResponseCache(cache / REPLIES) as replies:
        return replies.about(text.paths), len(replies)


def _quotes(store: ReleaseStore, release: Published, text: WithdrawnText) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / REFERENCE_FILE
        store.objects.download(release.data + REFERENCE_FILE, file)
        return text.repeated_in(pq.read_table(file, columns=["text"]).column("text").to_pylist())


def _paths(work: Path) -> list[Path]:
    """Return what a run writes, without what is kept. The user's own files in the directory are not in it."""
    names = [stage.artifact for stage in STAGES]
    drafts = [path for name in names for path in work.glob(f".{name}.*")]
    others = INDEX, REPORT_FILE, CARD_FILE, QUESTIONS_FILE, CHECKED_SET, CURVE_FOLDER, BASES_FOLDER
    files = [work / name for name in (*names, *others)]
    cache = work / "cache"
    kept = {path for pattern in KEPT for path in cache.glob(pattern)}
    cached = sorted(set(cache.iterdir()) - kept) if cache.is_dir() else []
    return [path for path in (*files, *drafts, *cached) if path.exists() or path.is_symlink()]
