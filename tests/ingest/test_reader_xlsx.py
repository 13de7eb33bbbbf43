"""Excel: every row says its columns; stored values of formulas; what is hidden or lost is said."""

import datetime
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.comments import Comment

from embedtune.core.config.records import RecordSettings
from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.entries import Found
from embedtune.ingest.readers.xlsx import read
from embedtune.ingest.reading import read_documents


def saved(book: Workbook) -> bytes:
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def rewritten(data: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return target.getvalue()


def make_xlsx(*, formula: bool = False) -> bytes:
    """Return a workbook with a caption, a table, a table without header, and a hidden worksheet."""
    book = Workbook()
    worksheet = book.active
    worksheet.title = "Parts"
    rows = [["Spare parts"], [], ["Part", "Price", "Since"], ["Belt", 40.0, datetime.datetime(2024, 5, 1)]]
    for row in [*rows, ["Lever", 0.1 + 0.2], ["Hose", "#N/A", True], [], [1, 2], [3, 4]]:
        worksheet.append(row)
    if formula:
        worksheet["C5"] = "=B5*2"
    hidden = book.create_sheet("Secret")
    hidden.append(["a", "b"])
    hidden.sheet_state = "hidden"
    return saved(book)


def test_rows_under_a_header_name_their_columns() -> None:
    remarks: list[str] = []
    assert read(make_xlsx(), remarks.append) == [
        Block("heading", "Parts", 1),
        Block("paragraph", "Spare parts"),
        Block(
            "table",
            "Part: Belt | Price: 40 | Since: 2024-05-01\nPart: Lever | Price: 0.3\nPart: Hose | Since: true",
        ),
        Block("table", "1 | 2\n3 | 4"),
    ]
    assert remarks == ["hidden worksheets are not read"]


def test_formulas_are_read_as_stored_values_and_said_if_there_are_none() -> None:
    remarks: list[str] = []
    data = make_xlsx(formula=True)
    read(data, remarks.append)
    assert any("formulas without a stored value" in remark for remark in remarks)

    def stored(xml: bytes) -> bytes:
        return re.sub(rb"<f>B5\*2</f><v ?/>|<f>B5\*2</f><v></v>", b"<f>B5*2</f><v>0.6</v>", xml)

    remarks.clear()
    blocks = read(rewritten(data, "xl/worksheets/sheet1.xml", stored), remarks.append)
    assert "Part: Lever | Price: 0.3 | Since: 0.6" in blocks[2].text
    assert remarks == ["hidden worksheets are not read"]


def test_wrong_dimensions_in_the_file_lose_nothing() -> None:
    def smaller(xml: bytes) -> bytes:
        return re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:A1"', xml)

    assert read(rewritten(make_xlsx(), "xl/worksheets/sheet1.xml", smaller)) == read(make_xlsx())


def test_rows_beyond_the_limit_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedtune.ingest.readers.xlsx.MOST_ROWS", 4)
    remarks: list[str] = []
    assert "Lever" not in str(read(make_xlsx(), remarks.append))
    assert any("only the first 4 rows" in remark for remark in remarks)


def test_encrypted_workbook_is_named() -> None:
    with pytest.raises(UnreadableError, match=r"encrypted, or a \.xls file"):
        read(b"\xd0\xcf\x11\xe0" + bytes(100))


def test_xlsx_is_read_as_records_under_a_pattern_that_says_so(tmp_path: Path) -> None:
    book = Workbook()
    for row in (["Key", "Problem"], ["P-1", "It blinks."], ["P-2", "It hums."]):
        book.active.append(row)
    path = tmp_path / "a.xlsx"
    path.write_bytes(saved(book))
    settings = (RecordSettings(files="*.xlsx", text=("Problem",), id="Key"),)
    found = [item for item in read_documents(path.name, path, settings) if isinstance(item, Found)]
    assert [(item.key, item.extract.text) for item in found] == [("P-1", "It blinks."), ("P-2", "It hums.")]
    (document,) = read_documents(path.name, path, (RecordSettings(text=("Problem",)),))
    assert isinstance(document, Found) and document.key == ""


def test_a_label_that_is_merged_over_rows_is_in_each_of_them() -> None:
    book = Workbook()
    worksheet = book.active
    rows = [
        ["Part", "Price", "Group"],
        ["Belt", 1, "Drive"],
        ["Gear", 2],
        [],
        ["Nozzle", 3, "Burner"],
        ["Fuse", 4],
    ]
    for row in [*rows, ["Lamp", 5, "a text of more than ten words that is about " + "both " * 3], ["Plug", 6]]:
        worksheet.append(row)
    for area in ("C2:C4", "C5:C6", "C7:C8"):
        worksheet.merge_cells(area)
    text = "a text of more than ten words that is about both both both"
    assert [block.text for block in read(saved(book)) if block.kind == "table"] == [
        "Part: Belt | Price: 1 | Group: Drive\nPart: Gear | Price: 2 | Group: Drive",
        "Nozzle | 3 | Burner\nFuse | 4 | Burner\nLamp | 5 | " + text + "\nPlug | 6",
    ]


def test_a_title_that_is_merged_over_columns_is_read_once() -> None:
    book = Workbook()
    for row in (["Limits", None], ["Kiln", "Press"], [80, 2]):
        book.active.append(row)
    book.active.merge_cells("A1:B1")
    assert [block.text for block in read(saved(book))][1:] == ["Limits", "Kiln: 80 | Press: 2"]


def test_comments_are_left_out_and_said() -> None:
    book = Workbook()
    book.active.append(["a", "b"])
    book.active["A1"].comment = Comment("only from Hall", "Ada")
    remarks: list[str] = []
    assert "Hall" not in str(read(saved(book), remarks.append))
    assert remarks == ["comments are not read"]
