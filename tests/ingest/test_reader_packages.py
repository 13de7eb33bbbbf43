"""Office documents in forms that are the same in all but a name."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook
from pptx import Presentation

from embedtune.ingest.blocks import Block
from embedtune.ingest.readers import docx, pptx, xlsx
from embedtune.ingest.reading import READERS
from tests.support.ingest_files import make_docx

Reader = Callable[[bytes], list[Block]]


def make_pptx() -> bytes:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "The wash line"
    slide.placeholders[1].text = "Two kinds of spray bar."
    stream = io.BytesIO()
    presentation.save(stream)
    return stream.getvalue()


def make_xlsx() -> bytes:
    book = Workbook()
    book.active.append(["Part", "Price"])
    book.active.append(["Belt", 40])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def edited(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a package with each of its XML parts changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(stream, "w") as written:
        for entry in archive.namelist():
            written.writestr(entry, change(archive.read(entry)))
    return stream.getvalue()


def strict(part: bytes) -> bytes:
    kinds = rb"officeDocument|wordprocessingml|spreadsheetml|presentationml|drawingml"
    pattern = rb"http://schemas\.openxmlformats\.org/(%s)/2006/" % kinds
    return re.sub(pattern, rb"http://purl.oclc.org/ooxml/\1/", part)


@pytest.mark.parametrize(
    ("read", "data"), [(docx.read, make_docx()), (pptx.read, make_pptx()), (xlsx.read, make_xlsx())]
)
def test_strict_open_xml_is_read_like_the_usual_form(read: Reader, data: bytes) -> None:
    other = edited(data, strict)
    assert other != data
    assert read(other) == read(data) != []


def test_records_of_a_strict_workbook(tmp_path: Path) -> None:
    path = tmp_path / "parts.xlsx"
    path.write_bytes(edited(make_xlsx(), strict))
    assert len(list(xlsx.xlsx_rows(path, print))) == 1


@pytest.mark.parametrize(
    ("extension", "data", "plain", "other"),
    [
        (
            ".docm",
            make_docx(),
            b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
            b"application/vnd.ms-word.document.macroEnabled.main+xml",
        ),
        (".ppsx", make_pptx(), b"presentationml.presentation.main+xml", b"presentationml.slideshow.main+xml"),
        (
            ".ppsm",
            make_pptx(),
            b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml",
            b"application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
        ),
    ],
)
def test_documents_with_macros_and_slide_shows(extension: str, data: bytes, plain: bytes, other: bytes) -> None:
    read = READERS[extension]
    renamed = edited(data, lambda part: part.replace(plain, other))
    assert renamed != data
    assert read(renamed, print) == read(data, print) != []
