"""Builds a BEIR set from the user's own questions, each with the documents that answer it, or quotes from them.

People know documents and sentences, not chunk ids. A quote survives a change of the chunking; an id does not.
Without quotes the set is judged by document: its first passage in a ranking finds it, further ones are dropped. If
instead every passage of a document were right, a model would be asked to fill the ranking with one document.
"""

from pathlib import Path

from embedtune.core.artifacts import read_artifact
from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import Qrels
from embedtune.core.retrieval.quoted_answers import Document, QuotedQuestion, place, read_questions
from embedtune.evaluate.judged_set import document_groups, read_passages, write_set


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
    asked = list(read_questions(questions))
    by_document = _by_document(questions, asked)
    artifact = read_artifact(chunks, "chunks")
    corpus, documents = read_passages(artifact)
    if by_document:
        corpus = document_groups(corpus, documents)
    qrels, unplaced = _judgements(asked, documents)
    if unplaced:
        raise _unplaced(questions, unplaced, by_document)
    write_set(output, corpus, {question.id: question.question for _, question in asked}, qrels)
    return {
        "questions": len(asked),
        "documents" if by_document else "quotes": sum(len(question.answers) for _, question in asked),
        "judgements": sum(len(judged) for judged in qrels.values()),
        "passages": len(corpus),
    }


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


def _judgements(
    asked: list[tuple[int, QuotedQuestion]], documents: dict[str, Document]
) -> tuple[Qrels, list[str]]:
    """Return the judgements, and one line about each answer that cannot be placed."""
    qrels: Qrels = {}
    unplaced: list[str] = []
    for number, question in asked:
        judged = qrels.setdefault(question.id, {})
        for answer in question.answers:
            found, problem = place(answer, documents)
            if problem:
                unplaced.append(f"line {number}: {answer.path}: {problem}")
            judged.update(dict.fromkeys(found, 1))
    return qrels, unplaced
