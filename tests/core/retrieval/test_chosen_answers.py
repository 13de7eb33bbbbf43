"""Feedback becomes questions: equal queries are one, and an answer counts if it was chosen often enough."""

from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.retrieval.chosen_answers import KnownIds, feedback_files, gone_note, group, read_asked
from embedtune.core.retrieval.quoted_answers import Document
from embedtune.core.secrets import Secrets
from tests.support.feedback import chose, write_feedback

RECORDS = [
    chose("Air in the pump?", "p1"),
    chose("air in  the pump?", "p1", "p2"),
    chose("air in the pump?", "p1"),
    chose("air in the pump?"),
    chose("kiln", "p3"),
    chose("press"),
]


def test_equal_queries_are_one_question_in_its_most_frequent_wording() -> None:
    asked = group(RECORDS, 1)
    assert [(one.text, one.asked, dict(one.chosen)) for one in asked.questions] == [
        ("air in the pump?", 4, {"p1": 3, "p2": 1}),
        ("kiln", 1, {"p3": 1}),
    ]
    assert asked.notes[0] == "1 questions were left out because nothing was chosen for them"
    assert asked.notes[1].startswith("one choice is enough to count")


def test_an_answer_needs_as_many_choices_as_the_rule_says() -> None:
    asked = group(RECORDS, 2)
    assert [(one.text, dict(one.chosen)) for one in asked.questions] == [("air in the pump?", {"p1": 3})]
    assert asked.notes == (
        "1 questions were left out because nothing was chosen for them",
        "1 questions were left out because no answer was chosen 2 times",
    )


def test_the_id_of_a_question_does_not_depend_on_its_wording() -> None:
    (one,), (other,) = (
        group([chose(text, "a")], 1).questions for text in ("Air in the pump?", "air in the  PUMP?")
    )
    assert one.id == other.id


def test_the_order_of_the_records_does_not_matter() -> None:
    assert group(RECORDS, 1) == group(RECORDS[::-1], 1)


def test_ids_mean_passages_or_documents_by_path_or_id() -> None:
    documents = {"pump.md": Document("d1", ["p1", "p2"], own=["p1", "p2"]), "copy.md": Document("d2", ["p2"])}
    known = KnownIds.of(documents)
    assert known.passages("p2", by_document=False) == ["p2"]
    assert known.passages("p2", by_document=True) == ["p1", "p2"]
    assert known.passages("pump.md", by_document=True) == known.passages("d1", by_document=True) == ["p1", "p2"]
    assert known.passages("gone", by_document=True) == []
    assert known.document("p1") is None


def test_a_note_lists_the_most_chosen_ids_that_are_gone() -> None:
    (note,) = gone_note({"b": 2, **{f"a{n}": 1 for n in range(6)}})
    assert "8 choices of 7 passages" in note
    assert note.endswith("b, a0, a1, a2, a3 and 2 more")
    assert gone_note({}) == ()


def test_a_place_without_feedback_is_said(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("{}")
    with pytest.raises(InputError, match="no feedback at this place"):
        feedback_files(str(tmp_path), tmp_path, StorageSettings(), Secrets())
    file = write_feedback(tmp_path, chose("kiln", "p3"))
    for place in (tmp_path, file):
        assert feedback_files(str(place), tmp_path, StorageSettings(), Secrets()) == [file]


def test_lines_that_are_no_feedback_are_counted_without_their_text(tmp_path: Path) -> None:
    file = write_feedback(tmp_path, chose("kiln", "p3"))
    with file.open("ab") as stream:
        stream.write(b'{"query": "my secret", "shown"\n{"query": "my secret", "schema_version": 2}\n')
    asked = read_asked([file], 1)
    assert len(asked.questions) == 1
    assert asked.notes[0].startswith(f"2 lines are not feedback and were left out; the first: {file}:2: ")
    assert "secret" not in "".join(asked.notes)
    file.write_text("nothing\n")
    with pytest.raises(InputError, match="no line is feedback"):
        read_asked([file], 1)
