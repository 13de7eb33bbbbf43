"""Reads XLSX with openpyxl: every visible worksheet under its name, with rows as lines that name their columns."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import range_boundaries
from openpyxl.workbook import Workbook

from embedtune.ingest.blocks import Block
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.entries import Unread
from embedtune.ingest.readers.packages import as_libraries_know_it, open_package
from embedtune.ingest.readers.rows import Row, keyed

MOST_ROWS = 20_000  # of a worksheet; a larger one is data, which ingest.records reads row by row
LONGEST_LABEL = 10  # words; a longer merged cell is a text, which is read once
BLOCK, LONGEST_MARK = 1 << 20, 200  # bytes
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >]")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\b[^>]*?\bref=[\"']([A-Z]{1,3}\d+:[A-Z]{1,3}\d+)[\"']")
Cells = tuple[str, ...]
Merged = dict[int, dict[int, int]]  # by the row of a cell and its column (from 0): the row that its value is in


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a workbook. Formulas are read as the values that were last stored; hidden worksheets are left out.

    Raises:
        UnreadableError: The workbook is encrypted, or far too large when unpacked.
    """
    with open_package(data, ".xlsx", ".xls") as archive:
        worksheets = [entry for entry in archive.namelist() if entry.startswith("xl/worksheets/")]
        formulas = any(_FORMULA.search(archive.read(entry)) for entry in worksheets)
        if any(entry.startswith(("xl/comments", "xl/threadedComments")) for entry in archive.namelist()):
            remark("comments are not read")
    known = as_libraries_know_it(io.BytesIO(data))
    book = load_workbook(known, read_only=True, data_only=True)
    if formulas:
        _say_lost_formulas(book, load_workbook(known, read_only=True), remark)
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
    with path.open("rb") as stream:
        book = load_workbook(as_libraries_know_it(stream), read_only=True, data_only=True)
        for worksheet in _visible(book, remark):
            header: list[str] = []
            for row in _rows(worksheet, None):
                if not header:
                    header = list(row)
                elif any(row):
                    yield keyed(header, row)


def _visible(book: Workbook, remark: Remark) -> Iterator[Any]:  # worksheets, which openpyxl does not type
    for worksheet in book.worksheets:
        if worksheet.sheet_state != "visible":
            remark("hidden worksheets are not read")
            continue
        worksheet.reset_dimensions()  # what a file says about its size is often wrong
        yield worksheet


def _rows(worksheet: Any, most: int | None) -> Iterator[Cells]:
    """Yield the cells of each row as text, without the empty ones at its end.

    A label that is merged over several rows is in each of them that has other cells: a chunk may begin at any row.
    """
    merged = _merged(worksheet)
    labels: dict[tuple[int, int], str] = {}
    for number, row in enumerate(worksheet.iter_rows(values_only=True), 1):
        if most is not None and number > most:
            return
        cells = [_shown(value) for value in row]
        if any(cells):
            _fill(cells, number, merged.get(number, {}), labels)
        while cells and not cells[-1]:
            cells.pop()
        yield tuple(cells)


def _merged(worksheet: Any) -> Merged:
    """Return the cells in the first column of each merged area of several rows; openpyxl drops them here."""
    areas: set[bytes] = set()
    with worksheet._get_source() as stream:
        end = b""
        while block := stream.read(BLOCK):
            areas.update(_MERGED.findall(end + block))
            end = block[-LONGEST_MARK:]
    found: Merged = {}
    for area in areas:
        column, first, _, last = range_boundaries(area.decode())
        if last > first:
            for row in range(first, min(last, first + MOST_ROWS) + 1):
                found.setdefault(row, {})[column - 1] = first
    return found


def _fill(cells: list[str], number: int, merged: Mapping[int, int], labels: dict[tuple[int, int], str]) -> None:
    """Write labels of merged areas into the cells of a row, and keep those that begin in it."""
    for column, first in merged.items():
        cells += [""] * (column + 1 - len(cells))
        if number == first:
            labels[first, column] = cells[column] if len(cells[column].split()) <= LONGEST_LABEL else ""
        else:
            cells[column] = cells[column] or labels.get((first, column), "")


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
