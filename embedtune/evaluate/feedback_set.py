"""Builds a BEIR set from feedback: what people asked the endpoint, and which of the results they chose."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import read_artifact
from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import Qrels, Record
from embedtune.core.retrieval.chosen_answers import AskedQuestion, KnownIds, gone_note, read_asked
from embedtune.evaluate.judged_set import document_groups, read_passages, write_set

HELD_OUT = "--held-out leaves them out, which is needed if you also train on this feedback (split.human_pairs)"


@dataclass(frozen=True)
class FeedbackSet:
    """A set that was written.

    Attributes:
        counts: Of questions, judgements and passages.
        notes: What was left out and how the set is judged, one sentence each.
    """

    counts: dict[str, int]
    notes: tuple[str, ...]


def build_feedback_set(
    files: Sequence[Path], chunks: Path, output: Path, *, min_choices: int = 1, held_out: bool = False
) -> FeedbackSet:
    """Turn feedback into a BEIR set over all passages of a chunks artifact.

    The set is judged by passage if every answer is one; otherwise by document, and a passage means its document.

    Args:
        files: The feedback.
        chunks: A chunks artifact of the documents that were searched.
        output: Directory to write corpus.jsonl, queries.jsonl and qrels/test.tsv to.
        min_choices: In how many records an answer has to be chosen.
        held_out: Leave out questions that a train document answers.

    Raises:
        InputError: There is no feedback, or no question is left.
        ArtifactError: `chunks` is not a valid chunks artifact.
    """
    asked = read_asked(files, min_choices)
    corpus, documents = read_passages(read_artifact(chunks, "chunks"))
    known = KnownIds.of(documents)
    by_document = any(known.document(name) for question in asked.questions for name in question.chosen)
    qrels, gone = _judgements(asked.questions, known, by_document)
    notes = [*asked.notes, *gone_note(gone)]
    trained = _answered_in_train(qrels, corpus)
    if trained and held_out:
        notes.append(f"{len(trained)} questions were left out because a train document answers them")
        qrels = {name: judged for name, judged in qrels.items() if name not in trained}
    elif trained:
        notes.append(f"train documents answer {len(trained)} of {len(qrels)} questions; {HELD_OUT}")
    if not qrels:
        raise InputError(
            "no question of the feedback is left",
            got="; ".join(notes),
            expected="choices of passages or documents that are in the chunks",
            fix="check --chunks, or lower --min-choices",
        )
    if by_document:
        corpus = document_groups(corpus, documents)
        notes.append("the set is judged by document, because documents were chosen, not passages")
    questions = {question.id: question.text for question in asked.questions if question.id in qrels}
    write_set(output, corpus, questions, qrels)
    counts = {
        "questions": len(questions),
        "judgements": sum(len(judged) for judged in qrels.values()),
        "passages": len(corpus),
    }
    return FeedbackSet(counts, tuple(notes))


def _judgements(
    questions: Sequence[AskedQuestion], known: KnownIds, by_document: bool
) -> tuple[Qrels, Counter[str]]:
    """Return the judgements of questions with an answer that exists, and how often others were chosen."""
    qrels: Qrels = {}
    gone: Counter[str] = Counter()
    for question in questions:
        for name, times in question.chosen.items():
            if found := known.passages(name, by_document=by_document):
                qrels.setdefault(question.id, {}).update(dict.fromkeys(found, 1))
            else:
                gone[name] += times
    return qrels, gone


def _answered_in_train(qrels: Qrels, corpus: Sequence[Record]) -> set[str]:
    train = {record.id for record in corpus if record.metadata["split"] == "train"}
    return {name for name, judged in qrels.items() if not train.isdisjoint(judged)}
