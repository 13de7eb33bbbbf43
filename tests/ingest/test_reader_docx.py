import io
import zipfile
from pathlib import Path

import pytest
from docx import Document

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers import docx
from embedtune.ingest.reading import read_document
from tests.support.ingest_files import make_docx


def test_structure() -> None:
    assert docx.read(make_docx()) == [
        Block("heading", "Pump manual", 1),
        Block("paragraph", "The pump is in the hall."),
        Block("heading", "Limits", 2),
        Block("table", "Item | Value\nFlow | 8 l/s"),
        Block("heading", "Start", 2),
        Block("list", "1. Open the valve."),
        Block("list", "2. Press start."),
        Block("paragraph", "Check:"),
        Block("list", "- seal"),
        Block("list", "- hose", 1),
        Block("code", "set speed 3\nset ramp 4"),
    ]


def test_without_a_title_headings_begin_at_one() -> None:
    document = Document()
    document.add_heading("Limits", 1)
    stream = io.BytesIO()
    document.save(stream)
    assert docx.read(stream.getvalue()) == [Block("heading", "Limits", 1)]


def test_merged_cell_counts_once_and_tracked_insertions_are_read() -> None:
    document = Document()
    table = document.add_table(rows=1, cols=3)
    merged = table.cell(0, 0).merge(table.cell(0, 1))
    merged.text = "wide"
    table.cell(0, 2).text = "end"
    paragraph = document.add_paragraph("old ")
    run = paragraph.add_run("new")._r
    inserted = paragraph._p.makeelement(run.tag.replace("}r", "}ins"), {})
    paragraph._p.append(inserted)
    inserted.append(run)
    stream = io.BytesIO()
    document.save(stream)
    assert docx.read(stream.getvalue()) == [Block("table", "wide | end"), Block("paragraph", "old new")]


def test_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "LARGEST_UNPACKED", 1000)
    with pytest.raises(UnreadableError, match="unpacks"):
        docx.read(make_docx())


@pytest.mark.parametrize(
    "data", [b"", b"not a zip", b"\xd0\xcf\x11\xe0old", make_docx()[:3000], b"PK\x05\x06" + bytes(18)]
)
def test_damaged_file_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"damaged|encrypted"):
        read_document(path)


def test_archive_with_flipped_bytes_is_read_or_named(tmp_path: Path) -> None:
    data = make_docx()
    reasons = set()
    for place in range(60, len(data), len(data) // 150):
        path = tmp_path / "a.docx"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            read_document(path)
        except UnreadableError as error:
            reasons.add(error.what.split(":")[1].strip())
    assert {"BadZipFile", "error"} <= reasons


def test_package_without_a_document_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "x")
    with pytest.raises(UnreadableError, match="damaged"):
        read_document(path)
