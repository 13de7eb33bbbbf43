"""Questions of people as further train questions: read, placed in the passages, and kept out of dev and test.

A question is used if every passage that answers it belongs to train and is asked about at all (no boilerplate, not
next to a border between splits), and if it does not nearly repeat a dev or test question. The proofs of the
dataset then hold for it as for any other train question.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.split import HumanPairs
from embedtune.core.errors import InputError
from embedtune.core.records.base import Part
from embedtune.core.retrieval.beir import HELD_OUT, Record
from embedtune.core.retrieval.chosen_answers import KnownIds, feedback_files, gone_note, read_asked
from embedtune.core.retrieval.overlap import repeated
from embedtune.core.retrieval.quoted_answers import Document, Text, normal, place, read_questions
from embedtune.core.stage import Context
from embedtune.core.storage import download_prefix
from embedtune.split.dataset import Dataset

FAQ_WORDS = 3  # a shorter answer is in any passage
FAQ_PASSAGES = 3  # an answer in more of them says nothing about where it is from
UNPLACED = "no passage answers them (the quote or answer is not there, or the document has several passages)"
ELSEWHERE = "dev or test documents answer them, or passages about which no questions are asked"
REPEATED = "a dev or test question is the same or nearly the same"


class FaqEntry(Part):
    """One line of a file of kind `faq`."""

    question: Text
    answer: Text


@dataclass(frozen=True)
class HumanQuestion:
    """A question of a person.

    Attributes:
        text: The question.
        answers: The passages that answer it; none: it is not known where the answer is.
    """

    text: str
    answers: tuple[str, ...]

    @property
    def id(self) -> str:
        """An id that no generated question has."""
        return f"human-{hashlib.sha256(normal(self.text).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class HumanSource:
    """One entry of split.human_pairs with its files.

    Attributes:
        settings: The entry.
        files: Its files, on this machine.
    """

    settings: HumanPairs
    files: tuple[Path, ...]

    @property
    def fingerprint(self) -> str:
        """A hash of the files' content."""
        return hashlib.sha256("\n".join(file_sha256(file) for file in self.files).encode()).hexdigest()


def human_sources(context: Context) -> list[HumanSource]:
    """Return the entries of split.human_pairs with their files, downloaded if they are in the object store.

    Args:
        context: The configuration, the object store, its credentials, and the directory for downloads.

    Raises:
        ConfigError: The object store is not configured.
        InputError: There are no files at a place.
    """
    return [HumanSource(one, tuple(_files(one, context))) for one in context.config.split.human_pairs]


def human_inputs(sources: Sequence[HumanSource]) -> dict[str, str]:
    """Return a fingerprint of what is in the files of each source, for the dataset's provenance."""
    return {f"human_pairs.{number}": source.fingerprint for number, source in enumerate(sources)}


def add_human_pairs(
    dataset: Dataset, sources: Sequence[HumanSource], unasked: set[str], similarity: float
) -> tuple[Dataset, tuple[str, ...]]:
    """Add the questions of people to a dataset.

    Args:
        dataset: The dataset without them.
        sources: Where they are.
        unasked: Passages about which no questions are asked.
        similarity: Jaccard of the word-3-grams at or above which two questions count as the same.

    Returns:
        The dataset with them, and a note per source: how many were added, and what was left out and why.

    Raises:
        InputError: A file is not of its kind.
    """
    documents = _documents(dataset)
    allowed = {record.id for record in dataset.corpus if record.metadata["split"] == "train"} - unasked
    notes: list[str] = []
    for source in sources:
        read, remarks = _read(source, documents)
        dataset, left_out = _add(dataset, read, source.settings, allowed, similarity)
        added = len(read) - left_out.total()
        what = f"{added} train questions of people were added from {source.settings.place}"
        reasons = "; ".join(f"{count} were left out because {reason}" for reason, count in left_out.items())
        notes += [f"{what}; {reasons}" if reasons else what, *remarks]
    return dataset, tuple(notes)


def _add(
    dataset: Dataset, found: Sequence[HumanQuestion], settings: HumanPairs, allowed: set[str], similarity: float
) -> tuple[Dataset, Counter[str]]:
    held_out = [query.text for query in dataset.queries if query.metadata["split"] in HELD_OUT]
    same = {i for i, _ in repeated([question.text for question in found], held_out, similarity)}
    left_out: Counter[str] = Counter()
    queries = {query.id: query for query in dataset.queries}
    train = dict(dataset.qrels["train"])
    for number, question in enumerate(found):
        if not question.answers:
            left_out[UNPLACED] += 1
        elif not allowed.issuperset(question.answers):
            left_out[ELSEWHERE] += 1
        elif number in same:
            left_out[REPEATED] += 1
        else:
            # The first source that has a question decides its weight; the answers of all count.
            queries.setdefault(question.id, Record(question.id, question.text, _metadata(settings)))
            train[question.id] = {**train.get(question.id, {}), **dict.fromkeys(question.answers, 1)}
    qrels = {**dataset.qrels, "train": train}
    return replace(dataset, queries=list(queries.values()), qrels=qrels), left_out


def _metadata(settings: HumanPairs) -> dict[str, JsonValue]:
    return {"split": "train", "source": settings.kind, "weight": settings.weight, "hops": 1, "unsure": []}


def _documents(dataset: Dataset) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for record in dataset.corpus:
        path = str(record.metadata["path"])
        document = documents.setdefault(path, Document(str(record.metadata["doc_id"])))
        document.chunk_ids.append(record.id)
        document.texts.append(normal(dataset.texts[record.id]))
        document.own.append(record.id)
    return documents


def _read(source: HumanSource, documents: dict[str, Document]) -> tuple[list[HumanQuestion], tuple[str, ...]]:
    """Return the questions of a source, and remarks about what is no question."""
    if source.settings.kind == "feedback":
        return _chosen(source, documents)
    if source.settings.kind == "faq":
        return [_from_faq(entry, documents) for file in source.files for entry in _faq_entries(file)], ()
    return [
        HumanQuestion(question.question, _one_each(place(answer, documents)[0] for answer in question.answers))
        for file in source.files
        for _, question in read_questions(file)
    ], ()


def _chosen(source: HumanSource, documents: dict[str, Document]) -> tuple[list[HumanQuestion], tuple[str, ...]]:
    known = KnownIds.of(documents)
    asked = read_asked(source.files, source.settings.min_choices)
    gone: Counter[str] = Counter()
    found = []
    for question in asked.questions:
        passages = {name: known.passages(name, by_document=False) for name in question.chosen}
        gone.update({name: times for name, times in question.chosen.items() if not passages[name]})
        found.append(HumanQuestion(question.text, _one_each(passages.values())))
    return found, (*asked.notes, *gone_note(gone))


def _one_each(answers: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the passages of answers that are one; of a longer document it is not known which passage answers."""
    return tuple(dict.fromkeys(passages[0] for passages in answers if len(passages) == 1))


def _faq_entries(file: Path) -> Iterator[FaqEntry]:
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield FaqEntry.model_validate_json(line)
        except ValidationError as error:
            raise InputError(
                f"{file}:{number} is not a question with its answer",
                got=error.errors()[0]["msg"],
                expected='{"question": …, "answer": …}',
            ) from error


def _from_faq(entry: FaqEntry, documents: dict[str, Document]) -> HumanQuestion:
    """Find the passages that contain the answer, or that a longer answer consists of."""
    answer = normal(entry.answer)
    if len(answer.split()) < FAQ_WORDS:
        return HumanQuestion(entry.question, ())
    pairs = [pair for one in documents.values() for pair in zip(one.chunk_ids, one.texts, strict=True)]
    found = [name for name, text in pairs if answer in text] or [
        name for name, text in pairs if text in answer and len(text.split()) >= FAQ_WORDS
    ]
    return HumanQuestion(entry.question, tuple(found) if len(found) <= FAQ_PASSAGES else ())


def _files(settings: HumanPairs, context: Context) -> list[Path]:
    storage = context.config.storage
    if settings.kind == "feedback":
        return feedback_files(settings.place, context.cache, storage, context.secrets)
    folder = Path(settings.place)
    if settings.place.startswith("s3://"):
        folder = download_prefix(settings.place, context.cache / "human_pairs", storage, context.secrets)
    files = [folder] if folder.is_file() else sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(
            "there are no questions of people at this place",
            got=settings.place,
            expected="a .jsonl file, or a directory of them",
            fix="check split.human_pairs",
        )
    return files
