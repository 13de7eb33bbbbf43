"""Untrusted text in error messages."""

from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.llm.errors import printable
from embedtune.llm.refusals import read_refusal


def test_foreign_text_is_one_line_without_control_characters() -> None:
    assert printable("a\x1b[31m\nb\u202ec\t d") == "a [31m b c d"
    assert printable("x" * 400, 10) == "x" * 9 + "…"


@settings(deadline=None)
@given(st.text(), st.integers(min_value=1, max_value=50))
def test_printable_text_never_controls_a_terminal_and_is_never_too_long(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_litellms_words_about_an_unknown_key_are_a_refused_key() -> None:
    said = {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
    assert read_refusal(400, said).status == 401
    assert read_refusal(400, {"error": {"message": "Unknown field: seed"}}).status == 400
