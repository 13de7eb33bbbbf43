from pathlib import Path

import pytest

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers.pdf import read
from embedtune.ingest.reading import read_documents
from tests.support.ingest_files import make_pdf, pdf_of

LONG = "The wash line has two kinds of spray bar and the numbers are easily swapped on"


def test_headings_by_font_size_and_paragraphs_by_full_lines() -> None:
    page = [(18, "Spray bars"), (13, "Which goes where"), (10, LONG), (10, "a docket."), (10, "Item  Value")]
    assert read(make_pdf([page])) == [
        Block("heading", "Spray bars", 1),
        Block("heading", "Which goes where", 2),
        Block("paragraph", f"{LONG} a docket."),
        Block("list", "Item Value"),
    ]


def test_paragraph_continues_on_the_next_page_without_running_headers() -> None:
    pages = [[(10, "Works manual"), (10, LONG), (10, f"Page {number}")] for number in range(1, 4)]
    assert read(make_pdf(pages)) == [Block("paragraph", f"{LONG} {LONG} {LONG}")]


def test_hyphenated_word_at_a_line_end_is_joined() -> None:
    lines = [
        (10, LONG + " gal-"),
        (10, "vanised steel bars of the older kind that were fitted before the new drum came"),
    ]
    assert "galvanised" in read(make_pdf([lines]))[0].text


def test_scan_is_named() -> None:
    with pytest.raises(UnreadableError, match="OCR"):
        read(make_pdf([[]]))


def test_encrypted_file_is_named() -> None:
    import io

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(make_pdf([[(10, "secret text")]]))))
    writer.encrypt("password", algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    with pytest.raises(UnreadableError, match="password"):
        read(stream.getvalue())


@pytest.mark.parametrize("cut", [0, 5, 40, 200, 400, 600])
def test_damaged_file_is_read_or_named_never_a_crash(cut: int, tmp_path: Path) -> None:
    data = make_pdf([[(10, LONG)]])
    for number, damaged in enumerate((data[:cut], data[cut:], data[:cut] + b"\xff" * 20 + data[cut + 20 :])):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(damaged)
        try:
            list(read_documents(path.name, path, ()))
        except UnreadableError as error:
            assert error.what


def test_furniture_of_several_lines_is_removed() -> None:
    pages = [
        [(8, "Works manual"), (8, "Internal use"), (10, f"{LONG} {word}"), (8, "Hall 3"), (8, f"{number} of 4")]
        for number, word in enumerate(("one", "two", "three", "four"), 1)
    ]
    text = " ".join(block.text for block in read(make_pdf(pages)))
    assert text == " ".join(f"{LONG} {word}" for word in ("one", "two", "three", "four"))


def test_pages_without_text_are_counted() -> None:
    remarks: list[str] = []
    drawing = (10, " ")
    read(make_pdf([[(10, LONG)], [drawing], [drawing], []]), remarks.append)
    assert remarks == ["2 of 4 pages hold no text, probably scans: run OCR first (ocrmypdf --skip-text)"]


def test_words_of_every_alphabet_are_joined_over_line_ends() -> None:
    from embedtune.ingest.readers.pdf import _paragraph

    assert (
        _paragraph(["\u043e\u043f\u0435\u0440\u0430-", "\u0442\u043e\u0440"], 4, set()).text
        == "\u043e\u043f\u0435\u0440\u0430\u0442\u043e\u0440"
    )
    assert _paragraph(["pres\u00ad", "sure"], 4, set()).text == "pressure"
    assert _paragraph(["AC-", "Motor"], 4, set()).text == "AC- Motor"


def test_hyphen_of_a_word_that_has_one_elsewhere_stays_at_a_line_end() -> None:
    lines = [
        (10, "Pumps with self-priming heads are rare in halls one and two."),
        (10, "Whether a pump that is used in one of the yards is self-"),
        (10, "priming can be read without any tools on its small pla-"),
        (10, "te near the hose."),
    ]
    text = " ".join(block.text for block in read(make_pdf([lines])))
    assert "is self-priming can" in text
    assert "small plate near" in text


def test_number_in_large_letters_is_no_heading() -> None:
    page = [(30, "2.5"), (18, "Litres of oil"), (10, LONG), (10, "a docket.")]
    assert read(make_pdf([page]))[:2] == [Block("list", "2.5"), Block("heading", "Litres of oil", 1)]


UP, DOWN, OVER = "0 1 -1 0", "0 -1 1 0", "-1 0 0 -1"


def turned(direction: str, place: str, text: str, size: int = 20) -> str:
    return f"BT /F1 {size} Tf {direction} {place} Tm ({text}) Tj ET"


def upright(*lines: str) -> str:
    return " ".join(f"BT /F1 10 Tf 50 {700 - 14 * number} Td ({line}) Tj ET" for number, line in enumerate(lines))


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_stamp_in_the_margin_is_one_line_and_neither_heading_nor_end_of_a_paragraph(direction: str) -> None:
    first = f"{upright(LONG, LONG)} {turned(direction, '30 400', 'Copy 7 of 2026')}"
    assert read(pdf_of([first, upright("a docket.")])) == [
        Block("list", "Copy 7 of 2026"),
        Block("paragraph", f"{LONG} {LONG} a docket."),
    ]


@pytest.mark.parametrize("direction", [UP, DOWN, OVER])
def test_page_that_is_turned_is_read_as_if_it_were_upright(direction: str) -> None:
    page = f"{turned(direction, '300 400', 'Spray bars', 18)} {turned(direction, '340 440', LONG, 5)}"
    assert read(pdf_of([page])) == [Block("heading", "Spray bars", 1), Block("paragraph", LONG)]


def test_turned_line_of_most_pages_is_furniture() -> None:
    words = ("one", "two", "three")
    pages = [f"{upright(f'{LONG} {word}')} {turned(UP, '30 400', 'Chapter 7')}" for word in words]
    assert read(pdf_of(pages)) == [Block("paragraph", " ".join(f"{LONG} {word}" for word in words))]


def test_text_outside_the_page_is_not_read() -> None:
    marks = "BT /F1 10 Tf 50 -8 Td (proof 3 cyan) Tj ET BT /F1 10 Tf 700 300 Td (cut here) Tj ET"
    assert read(pdf_of([f"{upright(LONG)} {marks}"])) == [Block("paragraph", LONG)]
