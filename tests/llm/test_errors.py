"""Untrusted text in error messages."""

from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.llm.errors import printable


def test_foreign_text_is_one_line_without_control_characters() -> None:
    assert printable("a\x1b[31m\nb\u202ec\t d") == "a [31m b c d"
    assert printable("x" * 400, 10) == "x" * 9 + "…"


@settings(deadline=None)
@given(st.text(), st.integers(min_value=1, max_value=50))
def test_printable_text_never_controls_a_terminal_and_is_never_too_long(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
