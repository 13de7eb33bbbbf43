"""Lines of a PDF from the places of its characters: raised numbers, and lines that are read from the right."""

import pytest

from embedtune.ingest.readers.pdf import read
from embedtune.ingest.readers.pdf_lines import _logical
from tests.support.ingest_files import pdf_of

HEBREW = {chr(ord("a") + number): chr(0x5D0 + number) for number in range(26)}


def raised(text: str) -> str:
    return f"/F1 7 Tf 4 Ts ({text}) Tj /F1 11 Tf 0 Ts"


def text_of(*lines: str) -> str:
    drawn = [f"BT /F1 11 Tf 50 {700 - 14 * number} Td {line} ET" for number, line in enumerate(lines)]
    return " ".join(block.text for block in read(pdf_of(["\n".join(drawn)])))


def test_exponents_are_not_glued_to_their_number() -> None:
    assert text_of(f"(It makes 10) Tj {raised('6')} ( litres on 30 m) Tj {raised('2')} (.) Tj") == (
        "It makes 10^6 litres on 30 m^2."
    )
    assert text_of(f"(10) Tj {raised('-3')} ( bar) Tj") == "10^-3 bar"


def test_exponent_that_is_drawn_on_its_own_stays_on_its_line() -> None:
    parts = (("11", "50 700", "makes 10"), ("7", "96 704", "6"), ("11", "101 700", " l"))
    page = " ".join(f"BT /F1 {size} Tf {place} Td ({text}) Tj ET" for size, place, text in parts)
    assert [block.text for block in read(pdf_of([page]))] == ["makes 10^6 l"]


def test_number_that_begins_a_raised_line_somewhere_is_a_footnote_mark() -> None:
    lines = (f"(Close it at 25) Tj {raised('1')} ( bar, never at 10) Tj {raised('1')} (.) Tj",)
    note = f"{raised('1')} (Only the brass ones.) Tj"
    assert text_of(*lines, note) == "Close it at 25 [1] bar, never at 10^1. [1] Only the brass ones."


def test_lowered_numbers_and_raised_letters_stay_as_they_are() -> None:
    line = f"(CO) Tj /F1 7 Tf -2 Ts (2) Tj /F1 11 Tf 0 Ts ( on the 1) Tj {raised('st')}"
    assert text_of(line) == "CO2 on the 1st"


def test_right_to_left_line_with_a_number_and_a_name() -> None:
    # Drawn from left to right, as it is seen: the last Hebrew word, the number, the name, the first word.
    page = "BT /F1 11 Tf 50 700 Td (.cba 400 ) Tj ET BT /F1 11 Tf 110 700 Td (fed ) Tj ET"
    assert [block.text for block in read(pdf_of([page], HEBREW))] == ["\u05d3\u05d4\u05d5 400 \u05d0\u05d1\u05d2."]


@pytest.mark.parametrize(
    ("seen", "read_as"),
    [
        ("\u05d2\u05d1 V-12 \u05d0", "\u05d0 V-12 \u05d1\u05d2"),
        (".\u05d1 12.5% \u05d0", "\u05d0 12.5% \u05d1."),
        ("\u05d1 3 2 \u05d0", "\u05d0 2 3 \u05d1"),
        ("\u05d3\u05d2\u05d1 a b \u05d0", "\u05d0 a b \u05d1\u05d2\u05d3"),
        ("the word \u05d1\u05d0 is Hebrew", "the word \u05d0\u05d1 is Hebrew"),
    ],
)
def test_order_of_mixed_lines(seen: str, read_as: str) -> None:
    assert _logical(seen) == read_as
