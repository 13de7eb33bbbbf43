"""PowerPoint: what a slide says in any kind of shape, and what is left out and said."""

import io
import zipfile

import pytest
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.oxml import parse_xml
from pptx.util import Inches

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers.pptx import read

MATH = (
    '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
    "<mc:Choice Requires='a14'><p:sp><p:txBody><a:p><a:r><a:t>where </a:t></a:r>"
    "<m:oMath><m:r><m:t>E=mc</m:t></m:r>"
    "</m:oMath></a:p></p:txBody></p:sp></mc:Choice><mc:Fallback><p:sp><p:txBody><a:p><a:r><a:t>picture</a:t></a:r>"
    "</a:p></p:txBody></p:sp></mc:Fallback></mc:AlternateContent>"
)


def saved(deck: object) -> bytes:
    stream = io.BytesIO()
    deck.save(stream)  # type: ignore[attr-defined]
    return stream.getvalue()


def make_pptx() -> bytes:
    """Return a deck with a title slide, a slide with every kind of shape, and a hidden one."""
    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[0])
    first.shapes.title.text = "Pump school"
    first.placeholders[1].text = "For the night shift"
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Start"
    body = slide.placeholders[1].text_frame
    body.text = "Open the valve"
    inner = body.add_paragraph()
    inner.text, inner.level = "slowly", 1
    table = slide.shapes.add_table(2, 2, 0, 0, Inches(3), Inches(1)).table
    for row, cells in enumerate((("Flow", "8 l/s"), ("Both", ""))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(1, 1))
    slide.shapes.add_group_shape().shapes.add_textbox(0, 0, 1, 1).text_frame.text = "In a group"
    data = CategoryChartData()
    data.categories = ["Mon", "Tue"]
    data.add_series("Heat", (1.5, 2.5))
    slide.shapes.add_chart(XL_CHART_TYPE.LINE, 0, 0, Inches(2), Inches(2), data)
    slide.shapes.element.append(parse_xml(MATH))
    slide.notes_slide.notes_text_frame.text = "Say that 40 bar is the limit."
    hidden = deck.slides.add_slide(deck.slide_layouts[5])
    hidden.shapes.title.text = "Secret"
    hidden.element.set("show", "0")
    return saved(deck)


def test_all_shapes_are_read_in_order_with_the_notes() -> None:
    remarks: list[str] = []
    assert read(make_pptx(), remarks.append) == [
        Block("heading", "Pump school", 1),
        Block("paragraph", "For the night shift"),
        Block("heading", "Start", 2),
        Block("list", "- Open the valve"),
        Block("list", "- slowly", 1),
        Block("table", "Flow | 8 l/s\nBoth | "),
        Block("paragraph", "In a group"),
        Block("table", " | Heat\nMon | 1.5\nTue | 2.5"),
        Block("paragraph", "where E=mc"),
        Block("paragraph", "Say that 40 bar is the limit."),
    ]
    assert remarks == ["hidden slides are not read"]


def test_encrypted_and_oversized_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableError, match=r"encrypted, or a \.ppt file"):
        read(b"\xd0\xcf\x11\xe0" + bytes(100))
    monkeypatch.setattr("embedtune.ingest.readers.packages.LARGEST_UNPACKED", 1000)
    with pytest.raises(UnreadableError, match="unpacks to"):
        read(make_pptx())


def test_entities_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "BOMB"><!ENTITY b "&a;&a;&a;">]>'
    source, target = io.BytesIO(make_pptx()), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "ppt/slides/slide1.xml":
                head, _, rest = data.partition(b"?>")
                data = head + b"?>" + bomb + rest.replace(b"Pump school", b"Pump &b;")
            new.writestr(name, data)
    assert "BOMB" not in str(read(target.getvalue()))
