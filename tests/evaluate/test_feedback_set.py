"""Feedback becomes the BEIR set that evaluate reads: chosen ids are judgements, and what is gone is said."""

from pathlib import Path

import pytest

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.evaluate.feedback_set import build_feedback_set
from tests.evaluate.test_quoted_set import write_chunks
from tests.support.feedback import chose, write_feedback

# The chunks: c0 and c1 only in pump.md, c2 in pump.md and kiln/start.md, c3 only in kiln/start.md.


def test_choices_of_passages_are_judged_by_passage(tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks")
    file = write_feedback(
        tmp_path, chose("Air?", "c0"), chose("air?", "c1", "old"), chose("purge", "old", "older")
    )
    built = build_feedback_set([file], chunks, tmp_path / "set")
    found = read_retrieval_set(tmp_path / "set", "test")
    assert {query.text: found.qrels[query.id] for query in found.queries} == {"Air?": {"c0": 1, "c1": 1}}
    assert built.counts == {"questions": 1, "judgements": 2, "passages": 4}
    assert "3 choices of 2 passages or documents that exist no longer were left out: old, older" in built.notes


def test_one_chosen_document_makes_the_set_one_of_documents(tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks")
    file = write_feedback(tmp_path, chose("air?", "c0"), chose("purge", "kiln/start.md"))
    built = build_feedback_set([file], chunks, tmp_path / "set")
    found = read_retrieval_set(tmp_path / "set", "test")
    assert built.notes[-1] == "the set is judged by document, because documents were chosen, not passages"
    judged = {query.text: set(found.qrels[query.id]) for query in found.queries}
    assert judged == {"air?": {"c0", "c1", "c2"}, "purge": {"c3"}}
    groups = {record.id: str(record.metadata["group_id"]) for record in found.corpus}
    assert groups == {**dict.fromkeys(("c0", "c1", "c2"), "pump.md"), "c3": "kiln/start.md"}


def test_held_out_leaves_out_what_train_documents_answer(tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks")  # of train documents only
    file = write_feedback(tmp_path, chose("air?", "c0"))
    notes = build_feedback_set([file], chunks, tmp_path / "set").notes
    assert any(note.startswith("train documents answer 1 of 1 questions; --held-out") for note in notes)
    with pytest.raises(InputError, match="no question of the feedback is left") as error:
        build_feedback_set([file], chunks, tmp_path / "set", held_out=True)
    assert "1 questions were left out because a train document answers them" in str(error.value)
