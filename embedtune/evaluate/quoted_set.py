"""Builds a BEIR set from the user's own questions, each with the documents that answer it, or quotes from them.

People know documents and sentences, not chunk ids. A quote survives a change of the chunking; an id does not.
Without quotes the set is judged by document: its first passage in a ranking finds it, further ones are dropped. If
instead every passage of a document were right, a model would be asked to fill the ranking with one document.
"""

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints, ValidationError
from pydantic import Field as Constraint

from embedtune.core.artifacts import Artifact, read_artifact
from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import Qrels, Record, write_qrels, write_records
from embedtune.core.retrieval.passage_groups import GROUP

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
SPLIT = "test"


class Answer(BaseModel):
    """The place of an answer: exact words from one passage of one document, or the document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Text = Constraint(description="Path of the document, relative to the folder that was ingested.")
    quote: Text | None = Constraint(
        default=None, description="Words from the passage; case and whitespace do not matter. None: the document."
    )


class QuotedQuestion(BaseModel):
    """One line of the questions file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Text
    answers: Annotated[tuple[Answer, ...], Constraint(min_length=1)]

    @property
    def id(self) -> str:
        """The first 16 hex digits of the question's hash."""
        return hashlib.sha256(self.question.encode()).hexdigest()[:16]


@dataclass
class Document:
    """The passages of one document in order: chunk ids, and texts normalised for the comparison with quotes."""

    chunk_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @property
    def judged(self) -> list[str]:
        """The passages that no earlier document has word for word; all, if there is no such passage."""
        return self.own or self.chunk_ids


def build_quoted_set(questions: Path, chunks: Path, output: Path) -> dict[str, int]:
    """Turn questions with quotes or documents into a BEIR set over all passages of a chunks artifact.

    Args:
        questions: JSON lines, `{"question": …, "answers": [{"path": …, "quote": …}, …]}`; every passage that
            answers the question should be quoted, since all others count as wrong. Either no answer has a quote,
            and the set is judged by document, or every answer has one.
        chunks: A chunks artifact of the quoted documents.
        output: Directory to write corpus.jsonl, queries.jsonl and qrels/test.tsv to.

    Returns:
        Counts of questions, quotes (or judged documents), judgements and passages.

    Raises:
        InputError: A line is not a question of this form, a question is repeated, only some answers have quotes,
            or answers cannot be placed; the message lists all of these with their lines.
        ArtifactError: `chunks` is not a valid chunks artifact.
    """
    asked = list(_read_questions(questions))
    by_document = _by_document(questions, asked)
    artifact = read_artifact(chunks, "chunks")
    corpus, documents = _read_passages(artifact)
    if by_document:
        corpus = _document_groups(corpus, documents)
    qrels, unplaced = _judgements(asked, documents)
    if unplaced:
        raise _unplaced(questions, unplaced, by_document)
    split_of = {record.id: str(record.metadata["split"]) for record in corpus}
    queries = []
    for _, question in asked:
        splits = {split_of[chunk_id] for chunk_id in qrels[question.id]}
        # Training saw other questions about a train document, so results on these are reported separately.
        answered_in = splits.pop() if len(splits) == 1 else "several"
        queries.append(Record(question.id, question.question, {"split": SPLIT, "answered_in": answered_in}))
    output.mkdir(parents=True, exist_ok=True)
    write_records(output / "corpus.jsonl", corpus)
    write_records(output / "queries.jsonl", queries)
    write_qrels(output / "qrels" / f"{SPLIT}.tsv", qrels)
    return {
        "questions": len(asked),
        "documents" if by_document else "quotes": sum(len(question.answers) for _, question in asked),
        "judgements": sum(len(judged) for judged in qrels.values()),
        "passages": len(corpus),
    }


def _read_questions(path: Path) -> Iterator[tuple[int, QuotedQuestion]]:
    """Yield each question with its line number."""
    if not path.is_file():
        raise InputError("the questions file does not exist", got=str(path))
    first_lines: dict[str, int] = {}
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                question = QuotedQuestion.model_validate_json(line)
            except ValidationError as error:
                raise InputError(
                    f"{path}:{number} is not a quoted question",
                    got=f"{error.errors()[0]['msg']}: {line.strip()[:80]}",
                    expected='{"question": …, "answers": [{"path": …, "quote": …}, …]}',
                ) from error
            if question.id in first_lines:
                raise InputError(
                    f"{path}:{number} repeats the question of line {first_lines[question.id]}",
                    got=question.question,
                    fix="put all answers to it on one line",
                )
            first_lines[question.id] = number
            yield number, question
    if not first_lines:
        raise InputError("the questions file is empty", got=str(path))


def _by_document(path: Path, asked: list[tuple[int, QuotedQuestion]]) -> bool:
    """Return whether the answers are documents; figures by document and by passage cannot be averaged."""
    lines: dict[bool, int] = {}
    for number, question in asked:
        for answer in question.answers:
            lines.setdefault(answer.quote is None, number)
    if len(lines) > 1:
        raise InputError(
            f"{path}: only some answers have a quote",
            got=f"one with a quote on line {lines[False]}, one without on line {lines[True]}",
            expected="a quote in every answer (judged by passage), or in none (judged by document)",
            fix="make two files, and two sets of them",
        )
    return True in lines


def _unplaced(path: Path, unplaced: list[str], by_document: bool) -> InputError:
    listed = "\n    ".join(["", *unplaced])
    if by_document:
        return InputError(
            f"{path}: {len(unplaced)} documents are not in the chunks",
            got=listed,
            expected="the path of a document with text, relative to the folder that was ingested",
        )
    return InputError(
        f"{path}: {len(unplaced)} quotes cannot be placed",
        got=listed,
        expected="words that occur in exactly one passage of the document and do not run on into the next",
        fix="copy the quote from the nearest text, or quote other words of the same answer",
    )


def _document_groups(corpus: list[Record], documents: dict[str, Document]) -> list[Record]:
    """Return the passages with their document as their group, so that rankings are read by document.

    Documents whose passages are all near-duplicates of each other's count as one, as near-duplicate passages do.
    """
    groups = {record.id: record.metadata[GROUP] for record in corpus}
    first: dict[frozenset[JsonValue], str] = {}
    label = {
        path: first.setdefault(frozenset(groups[one] for one in document.chunk_ids), path)
        for path, document in sorted(documents.items())
    }
    return [
        replace(record, metadata={**record.metadata, GROUP: label[str(record.metadata["path"])]})
        for record in corpus
    ]


def _read_passages(artifact: Artifact) -> tuple[list[Record], dict[str, Document]]:
    """Return each passage once, in the order of first occurrence, and the documents by path."""
    contract = artifact.manifest.contract
    table = pq.read_table(artifact.path / "documents.parquet", columns=["doc_id", "path", "metadata"])
    rows = {row["doc_id"]: row for row in table.to_pylist()}
    corpus: dict[str, Record] = {}
    documents: dict[str, Document] = {row["path"]: Document() for row in rows.values()}
    for row in pq.read_table(artifact.path / "chunks.parquet").to_pylist():
        path, said = rows[row["doc_id"]]["path"], rows[row["doc_id"]]["metadata"]
        document = documents[path]
        document.chunk_ids.append(row["chunk_id"])
        document.texts.append(_normal(row["text"]))
        metadata = {
            "doc_id": row["doc_id"],
            "path": path,
            "heading": row["heading_path"],
            "group_id": row["group_id"],
            "family_id": row["family"],
            "split": row["split"],
            "boilerplate": row["boilerplate"],
            "n_words": row["n_words"],
        }
        if said:
            metadata["document"] = dict(said)
        text = contract.render_passage(row["heading_path"], row["text"])
        if row["chunk_id"] not in corpus:
            corpus[row["chunk_id"]] = Record(row["chunk_id"], text, metadata)
            document.own.append(row["chunk_id"])
    return list(corpus.values()), documents


def _judgements(
    asked: list[tuple[int, QuotedQuestion]], documents: dict[str, Document]
) -> tuple[Qrels, list[str]]:
    """Return the judgements, and one line about each answer that cannot be placed."""
    qrels: Qrels = {}
    unplaced: list[str] = []
    for number, question in asked:
        judged = qrels.setdefault(question.id, {})
        for answer in question.answers:
            found, problem = _place(answer, documents)
            if problem:
                unplaced.append(f"line {number}: {answer.path}: {problem}")
            judged.update(dict.fromkeys(found, 1))
    return qrels, unplaced


def _normal(text: str) -> str:
    """Normalise a text for the comparison with quotes: case folded, with runs of whitespace as single spaces."""
    return " ".join(text.casefold().split())


def _place(answer: Answer, documents: dict[str, Document]) -> tuple[list[str], str]:
    """Return the id of the passage that contains the quote, or those of the document, or what is wrong."""
    document = documents.get(answer.path)
    if document is None:
        near = difflib.get_close_matches(answer.path, sorted(documents), n=1, cutoff=0.0)
        return [], f"no such document; nearest: {', '.join(near)}"
    if answer.quote is None:
        return document.judged, "" if document.chunk_ids else "the document has no passage"
    quote = _normal(answer.quote)
    # A passage that a document repeats word for word has one id, so the quote is not ambiguous.
    found = {chunk_id for chunk_id, text in zip(document.chunk_ids, document.texts, strict=True) if quote in text}
    if len(found) == 1:
        return [found.pop()], ""
    if found:
        return [], f"{len(found)} passages contain {answer.quote!r}"
    if quote in " ".join(document.texts):
        return [], f"{answer.quote!r} runs on from one passage into the next"
    return [], f"no passage contains {answer.quote!r}; nearest: {_nearest(quote, document.texts)!r}"


def _nearest(quote: str, texts: list[str]) -> str:
    """Return the run of words, as long as the quote, that shares the most words with it; the first of several."""
    wanted = set(quote.split())
    size = len(quote.split())
    words = [text.split() for text in texts]
    stretches = [part[i : i + size] for part in words for i in range(max(1, len(part) - size + 1))]
    return " ".join(max(stretches, key=lambda stretch: len(wanted.intersection(stretch)), default=[]))
