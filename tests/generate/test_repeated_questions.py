"""A question that was written twice keeps both passages; no split repeats a question of another."""

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.split import SplitSettings
from embedtune.core.retrieval.beir import Record
from embedtune.generate.filters import without_duplicates
from embedtune.generate.questions import Question, _row
from embedtune.generate.repeated_questions import with_shared_answers, without_leaks
from embedtune.split.dataset import Dataset
from embedtune.split.proofs import Limits, no_similar_query
from tests.support.passages_world import question

ALIKE = np.ones((4, 1), np.float32)
LONG = "how hot may the inner wall of the upper kiln get before the night shift has to open the second steam valve"


def _answers(questions: list[Question]) -> dict[str, tuple[list[str], list[str]]]:
    rows = [_row(one) for one in questions if not one.reason]
    return {row["question"]: (row["answer_ids"], row["unsure_ids"]) for row in rows}


def _filtered(questions: list[Question], vectors: np.ndarray) -> list[Question]:
    return with_shared_answers(without_duplicates(questions, vectors, 0.9), vectors, 0.9, 0.9)


def test_one_question_written_for_two_passages_keeps_both():
    found = _filtered(
        [
            question("How hot may the kiln get?", chunk_ids=("a",), scores=(10, 10, 10, 10), question_id="1"),
            question("how hot may the kiln get", chunk_ids=("b",), question_id="2"),
        ],
        ALIKE[:2],
    )
    assert [one.reason for one in found] == ["", "duplicate"]
    assert _answers(found) == {"How hot may the kiln get?": (["a", "b"], [])}


def test_passages_of_a_question_that_is_only_similar_are_noted_but_do_not_answer():
    found = _filtered(
        [
            question("what does error E12 mean", chunk_ids=("a",), scores=(10, 10, 10, 10)),
            question("what does error E13 mean", chunk_ids=("b", "a")),
        ],
        ALIKE[:2],
    )
    assert _answers(found) == {"what does error E12 mean": (["a"], ["b"])}


def test_passages_of_another_split_do_not_answer():
    found = _filtered(
        [question("how hot", chunk_ids=("a",), split="test"), question("how hot", chunk_ids=("b",))], ALIKE[:2]
    )
    assert _answers(found) == {"how hot": (["a"], [])}


def test_questions_that_were_rejected_for_other_reasons_share_nothing():
    found = _filtered(
        [question("how hot", chunk_ids=("a",)), question("how hot", chunk_ids=("b",), reason="min_accuracy")],
        ALIKE[:2],
    )
    assert _answers(found) == {"how hot": (["a"], [])}


def test_what_split_would_refuse_is_dropped_from_train_first_then_from_dev():
    written = [
        question(LONG, split="train"),
        question(LONG + "?", split="dev"),
        question(LONG.upper(), split="test"),
        question("how often is the drum washed", split="dev"),
        question("how often is the drum washed?", split="train"),
        question("where is the pump", split="train"),
    ]
    found = without_leaks(written, 0.9)
    assert [one.reason for one in found] == ["leak", "leak", "", "", "leak", ""]
    kept = [one for one in found if not one.reason]
    assert _violations(written) and not _violations(kept)


def test_a_rejected_question_makes_no_other_a_leak():
    written = [question(LONG, split="test", reason="min_accuracy"), question(LONG + "?", split="train")]
    assert [one.reason for one in without_leaks(written, 0.9)] == ["min_accuracy", ""]


def _violations(questions: list[Question]) -> tuple[str, ...]:
    """Return what the stage split says about these questions."""
    queries = [Record(str(n), one.question, {"split": one.split}) for n, one in enumerate(questions)]
    limits = Limits.of(IngestSettings(), SplitSettings())
    return no_similar_query(Dataset([], queries, {}, {}), limits).violations
