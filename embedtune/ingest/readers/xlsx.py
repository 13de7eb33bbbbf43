"""Reads XLSX with openpyxl: every visible worksheet under its name, with rows as lines that name their columns."""

import io
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.workbook import Workbook

from embedtune.ingest.blocks import Block
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.entries import Unread
from embedtune.ingest.readers.packages import open_package
from embedtune.ingest.readers.rows import Row, keyed

MOST_ROWS = 20_000  # of a worksheet; a larger one is data, which ingest.records reads row by row
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >]")
Cells = tuple[str, ...]


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a workbook. Formulas are read as the values that were last stored; hidden worksheets are left out.

    Raises:
        UnreadableError: The workbook is encrypted, or far too large when unpacked.
    """
    with open_package(data, ".xlsx", ".xls") as archive:
        worksheets = [entry for entry in archive.namelist() if entry.startswith("xl/worksheets/")]
        formulas = any(_FORMULA.search(archive.read(entry)) for entry in worksheets)
    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    if formulas:
        _say_lost_formulas(book, load_workbook(io.BytesIO(data), read_only=True), remark)
    blocks: list[Block] = []
    for worksheet in _visible(book, remark):
        rows = list(_rows(worksheet, MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            remark(
                f"only the first {MOST_ROWS} rows of a worksheet are read; ingest.records reads all, row by row"
            )
        content = list(_blocks(rows[:MOST_ROWS]))
        blocks += [Block("heading", worksheet.title, 1), *content] if content else []
    return blocks


def xlsx_rows(path: Path, remark: Remark) -> Iterator[Row | Unread]:
    """Yield the rows of all visible worksheets; the first row of each names its columns."""
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        for worksheet in _visible(book, remark):
            header: list[str] = []
            for row in _rows(worksheet, None):
                if not header:
                    header = list(row)
                elif any(row):
                    yield keyed(header, row)
    finally:
        book.close()


def _visible(book: Workbook, remark: Remark) -> Iterator[Any]:  # worksheets, which openpyxl does not type
    for worksheet in book.worksheets:
        if worksheet.sheet_state != "visible":
            remark("hidden worksheets are not read")
            continue
        worksheet.reset_dimensions()  # what a file says about its size is often wrong
        yield worksheet


def _rows(worksheet: Any, most: int | None) -> Iterator[Cells]:
    """Yield the cells of each row as text, without the empty ones at its end."""
    for number, row in enumerate(worksheet.iter_rows(values_only=True)):
        if number == most:
            return
        cells = [_shown(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        yield tuple(cells)


def _shown(value: object) -> str:
    if value is None or (isinstance(value, str) and value.startswith("#") and value.endswith(("!", "?", "/A"))):
        return ""  # an error such as #REF! or #N/A
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date | time) else " ".join(str(value).split())


def _say_lost_formulas(stored: Workbook, written: Workbook, remark: Remark) -> None:
    """Say it if formulas have no stored value: a program that calculates has never saved the file."""
    for values, formulas in zip(stored.worksheets, written.worksheets, strict=True):
        for row, same in zip(
            values.iter_rows(values_only=True), formulas.iter_rows(values_only=True), strict=False
        ):
            if any(value is None and formula is not None for value, formula in zip(row, same, strict=False)):
                remark("formulas without a stored value are not read; save the file in a spreadsheet program")
                return


def _blocks(rows: Sequence[Cells]) -> Iterator[Block]:
    """Yield the tables of a worksheet, which empty rows and rows of one cell divide; such cells are paragraphs."""
    table: list[Cells] = []
    for row in [*rows, ()]:
        filled = sum(map(bool, row))
        if filled >= 2:
            table.append(row)
            continue
        if table:
            yield Block("table", "\n".join(_lines(table)))
            table = []
        if filled:
            yield Block("paragraph", "".join(row))


def _lines(table: Sequence[Cells]) -> Iterator[str]:
    """Yield a line per row. Under a header each cell is named by it, since a chunk may begin at any row."""
    header, *others = table
    if not others or not _is_header(header, others):
        yield from (" | ".join(row) for row in table)
        return
    for row in others:
        named = zip(header, row, strict=False)
        yield " | ".join(f"{column}: {cell}" if column else cell for column, cell in named if cell)


def _is_header(first: Cells, others: Sequence[Cells]) -> bool:
    """Tell whether the first row names columns: distinct words, at least one for each column but the first."""
    named = [cell for cell in first if cell]
    words = all(any(map(str.isalpha, cell)) for cell in named)
    width = max(map(len, others))
    return words and len(set(named)) == len(named) and len(first) >= width and all(first[1:width])
