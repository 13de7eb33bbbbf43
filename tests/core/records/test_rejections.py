"""The reasons for a rejection: every code has a text, and the kind of failure is kept."""

import pytest

from embedtune.core.records.questions import QuestionRow
from embedtune.core.records.rejections import (
    REJECTION_TEXTS,
    Rejection,
    failed_call,
    rejection_code,
    rejection_text,
)
from embedtune.generate.questions import SCHEMA


def test_every_code_has_a_text_of_its_own() -> None:
    assert set(REJECTION_TEXTS) == set(Rejection)
    assert len(set(REJECTION_TEXTS.values())) == len(Rejection)


def test_the_reason_of_a_failed_call_names_the_kind_of_failure() -> None:
    reason = failed_call("HTTP 500: busy")
    assert reason == "failed: HTTP 500: busy"
    assert rejection_code(reason) is Rejection.FAILED
    assert rejection_text(reason) == "LLM call failed: HTTP 500: busy"
    assert rejection_text("duplicate") == "duplicate of another question"


def test_a_reason_without_a_known_code_is_refused() -> None:
    with pytest.raises(ValueError, match="invented"):
        rejection_code("invented")


def test_the_row_has_the_columns_of_the_table() -> None:
    assert list(QuestionRow.__annotations__) == SCHEMA.names
