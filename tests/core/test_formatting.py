"""Numbers and durations, formatted for people."""

import pytest

from embedtune.core.formatting import counted, duration, figure, signed


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_a_duration_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "+0.12"), (-0.1234, "-0.12"), (0.001, "0.00"), (-0.001, "0.00"), (0, "0.00")]
)
def test_a_signed_number_has_a_real_minus_and_zero_has_no_sign(value, shown):
    assert signed(value, 2) == shown.replace("-", "\N{MINUS SIGN}")


@pytest.mark.parametrize(("value", "shown"), [(0.123456, "0.1235"), (2.0, "2"), (1234, "1,234"), ("WIN", "WIN")])
def test_a_figure_is_short(value, shown):
    assert figure(value) == shown


def test_one_is_singular_and_large_numbers_have_separators() -> None:
    said = [counted(number, "document") for number in (0, 1, 1200)]
    assert said == ["0 documents", "1 document", "1,200 documents"]
    assert (counted(1, "query", "queries"), counted(2, "query", "queries")) == ("1 query", "2 queries")
