"""Feedback as questions with answers: equal queries are one question, and a rule leaves noise out.

An answer of a question is an id that was chosen for it in at least `min_choices` records. All else is noise: ids
that were chosen less often, and records in which nothing was chosen.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.records.feedback import Feedback, FeedbackReader, day_of
from embedtune.core.retrieval.quoted_answers import Document, normal
from embedtune.core.secrets import Secrets
from embedtune.core.storage import download_prefix

SHOWN = 5
ONCE = (
    "one choice is enough to count (min_choices is 1), and people also click on what does not help them; with "
    "more feedback, 2 leaves such noise out"
)


@dataclass(frozen=True)
class AskedQuestion:
    """A question of people.

    Attributes:
        text: The wording that was used most often; of several, the first in alphabetical order.
        asked: Number of records.
        chosen: In how many of them each answer was chosen, most often first.
    """

    text: str
    asked: int
    chosen: Mapping[str, int]

    @property
    def id(self) -> str:
        """The first 16 hex digits of the hash of the normalised question."""
        return hashlib.sha256(normal(self.text).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Asked:
    """The questions in feedback.

    Attributes:
        questions: Those with an answer, sorted by text.
        notes: What was left out and why, one sentence each; none has the text of a query.
    """

    questions: tuple[AskedQuestion, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class KnownIds:
    """The ids that feedback may name: of passages, and paths or ids of documents.

    Attributes:
        documents: The documents by path.
        paths: Their paths by id.
        path_of: The path of the first document with a passage, by the passage's id.
    """

    documents: Mapping[str, Document]
    paths: Mapping[str, str]
    path_of: Mapping[str, str]

    @classmethod
    def of(cls, documents: Mapping[str, Document]) -> "KnownIds":
        """Return the ids of documents and of their passages.

        Args:
            documents: The documents by path, in the order of ingest.
        """
        paths = {document.doc_id: path for path, document in documents.items()}
        path_of: dict[str, str] = {}
        for path, document in documents.items():
            for chunk_id in document.chunk_ids:
                path_of.setdefault(chunk_id, path)
        return cls(documents, paths, path_of)

    def document(self, name: str) -> Document | None:
        """Return the document that an id or a path names; None: it names none."""
        return None if name in self.path_of else self.documents.get(self.paths.get(name, name))

    def passages(self, name: str, *, by_document: bool) -> list[str]:
        """Return the passages that an id means; none: it exists no longer.

        Args:
            name: The id of a passage, or the id or path of a document.
            by_document: Whether a passage means all of its document.
        """
        if name in self.path_of:
            return self.documents[self.path_of[name]].judged if by_document else [name]
        document = self.document(name)
        return document.judged if document else []


def feedback_files(place: str, cache: Path, storage: StorageSettings, secrets: Secrets) -> list[Path]:
    """Return the files of feedback at a place.

    Args:
        place: A directory, a file, or `s3://bucket/prefix`, which is downloaded.
        cache: Directory for downloads.
        storage: The object store.
        secrets: Its credentials.

    Raises:
        ConfigError: The object store is not configured.
        InputError: There is no feedback.
    """
    if place.startswith("s3://"):
        folder = download_prefix(place, cache / "feedback", storage, secrets)
    else:
        folder = Path(place)
    files = [folder] if folder.is_file() else sorted(path for path in folder.glob("*.jsonl") if day_of(path.name))
    if not files:
        raise InputError(
            "there is no feedback at this place",
            got=place,
            expected="files such as feedback-2026-11-30.jsonl, which a gateway with --feedback writes",
        )
    return files


def read_asked(files: Sequence[Path], min_choices: int) -> Asked:
    """Read feedback as questions with answers.

    Args:
        files: The files.
        min_choices: In how many records an answer has to be chosen.

    Raises:
        InputError: A file cannot be read, or no line is feedback.
    """
    reader = FeedbackReader()
    asked = group(reader.read(files), min_choices)
    if reader.unreadable == 0:
        return asked
    if not asked.questions and not asked.notes:
        raise InputError("no line is feedback", got=reader.first, expected="what a gateway with --feedback writes")
    note = f"{reader.unreadable} lines are not feedback and were left out; the first: {reader.first}"
    return Asked(asked.questions, (note, *asked.notes))


def group(records: Iterable[Feedback], min_choices: int) -> Asked:
    """Turn records into questions.

    Args:
        records: The feedback.
        min_choices: In how many records an answer has to be chosen.
    """
    texts: dict[str, Counter[str]] = {}
    chosen: dict[str, Counter[str]] = {}
    for record in records:
        key = normal(record.query)
        texts.setdefault(key, Counter())[record.query] += 1
        chosen.setdefault(key, Counter()).update(record.chosen)
    questions, nothing, rare = [], 0, 0
    for key, wordings in texts.items():
        often = {name: n for name, n in sorted(chosen[key].items(), key=_often) if n >= min_choices}
        nothing += not chosen[key]
        rare += bool(chosen[key]) and not often
        if often:
            questions.append(AskedQuestion(min(wordings.items(), key=_often)[0], wordings.total(), often))
    notes = []
    if nothing:
        notes.append(f"{nothing} questions were left out because nothing was chosen for them")
    if rare:
        notes.append(f"{rare} questions were left out because no answer was chosen {min_choices} times")
    if questions and min_choices == 1:
        notes.append(ONCE)
    return Asked(tuple(sorted(questions, key=lambda question: question.text)), tuple(notes))


def gone_note(gone: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note about chosen ids that exist no longer.

    Args:
        gone: How often each was chosen.
    """
    if not gone:
        return ()
    names = [name for name, _ in sorted(gone.items(), key=_often)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"{sum(gone.values())} choices of {len(names)} passages or documents that exist no longer were left out: "
        f"{', '.join(names[:SHOWN])}{more}",
    )


def _often(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
