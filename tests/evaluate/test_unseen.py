"""Questions that were trained on judge no model."""

from pathlib import Path

import pytest

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import Record, RetrievalSet, write_records
from embedtune.evaluate.unseen import require_unseen, trained_questions


def dataset(folder: Path, source: str, split: str = "train") -> Path:
    folder.mkdir(exist_ok=True)
    write_records(
        folder / "queries.jsonl", [Record("q", "How do I drain it?", {"split": split, "source": source})]
    )
    return folder


def asked(*texts: str) -> dict[str, RetrievalSet]:
    queries = [Record(f"e{number}", text) for number, text in enumerate(texts)]
    return {"ours": RetrievalSet([Record("p", "x")], queries, {query.id: {"p": 1} for query in queries})}


@pytest.mark.parametrize("source", ["feedback", "questions", "faq"])
def test_a_set_with_a_question_of_people_that_was_trained_on_is_refused(tmp_path: Path, source: str) -> None:
    said = r"(?s)1 of 2 questions of the evaluation set ours were trained on.*how do i DRAIN it\?.*--held-out"
    with pytest.raises(InputError, match=said):
        require_unseen(asked("who turns it off?", "how do i DRAIN it?"), dataset(tmp_path, source))


def test_a_question_that_the_generator_wrote_or_that_was_held_out_was_not_trained_on(tmp_path: Path) -> None:
    assert trained_questions(dataset(tmp_path / "people", "feedback")) == {"how do i drain it?"}
    assert trained_questions(dataset(tmp_path / "generated", "qwen")) == set()
    assert trained_questions(dataset(tmp_path / "held", "feedback", "test")) == set()


def test_other_questions_may_judge(tmp_path: Path) -> None:
    people = dataset(tmp_path / "people", "feedback")
    require_unseen(asked("Who turns it off?"), people)
    with pytest.raises(InputError, match="1 of 1"):
        require_unseen(asked("How do I drain it?"), people)
