"""The record of feedback: what it refuses, and the names of its files."""

from datetime import date

import pytest
from pydantic import ValidationError

from embedtune.core.records.feedback import MAX_QUERY, Feedback, day_of, file_name
from tests.support.feedback import chose


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"chosen": ["z"]}, "was not shown"),
        ({"shown": ["a", "a"]}, "an id twice"),
        ({"shown": []}, "at least 1 item"),
        ({"time": "2026-11-30T12:00:00"}, "timezone"),
        ({"release": "latest"}, "match pattern"),
        ({"vector": [0.1]}, "not permitted"),
        ({"schema_version": 2}, "should be 1"),
    ],
)
def test_a_record_that_says_something_impossible_is_refused(change: dict[str, object], problem: str) -> None:
    given = chose("q", "a").model_dump(mode="json") | change
    with pytest.raises(ValidationError, match=problem):
        Feedback.model_validate(given)


def test_a_line_is_the_record() -> None:
    record = chose("pump\nor kiln", "a")
    assert record.line.count(b"\n") == 1
    assert Feedback.model_validate_json(record.line) == record


def test_a_masked_query_may_be_longer_than_any_that_was_sent() -> None:
    record = chose("[EMAIL_ADDRESS_1] " * MAX_QUERY, "a")
    assert Feedback.model_validate_json(record.line) == record


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("feedback-2026-11-30.jsonl", date(2026, 11, 30)),
        ("feedback-2026-11-30-0123456789ab.jsonl", date(2026, 11, 30)),
        ("feedback-2026-02-30.jsonl", None),
        ("feedback-2026-11-30.jsonl.draft", None),
        ("notes.jsonl", None),
    ],
)
def test_the_name_of_a_file_says_its_day(name: str, day: date | None) -> None:
    assert day_of(name) == day
    assert day is None or day_of(file_name(day)) == day
