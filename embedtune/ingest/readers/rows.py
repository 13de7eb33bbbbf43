"""Yields the rows of record files one at a time: JSON lines, CSV and Parquet of any size."""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.encodings import Remark, file_encoding
from embedtune.ingest.entries import Unread

Row = Mapping[str, Any]  # values as the format has them
LONGEST_LINE = 32 << 20  # characters of a line or field; a longer one is a mistake, and memory is limited
BATCH = 256  # rows of Parquet in memory at once
DELIMITERS = ",;\t|"


def jsonl_rows(path: Path, remark: Remark) -> Iterator[Row | Unread]:
    """Yield the objects of a file with one JSON object per line; a line that is none is named by its number."""
    with path.open(encoding=file_encoding(path, remark), errors="replace", newline="\n") as stream:
        for number, line in enumerate(_lines(stream), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except RecursionError:
                yield Unread(f"line {number}", "JSON nested too deeply")
            except ValueError as error:
                yield Unread(f"line {number}", f"not JSON: {error}")
            else:
                yield row if isinstance(row, dict) else Unread(f"line {number}", "not a JSON object")


def _lines(stream: TextIO) -> Iterator[str]:
    for number in itertools.count(1):
        line = stream.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise UnreadableError(f"line {number} is longer than {LONGEST_LINE >> 20} million characters")
        if not line:
            return
        yield line


def csv_rows(path: Path, remark: Remark) -> Iterator[Row | Unread]:
    """Yield the rows of a table with a header; the cells of columns with the same name become a list.

    Raises:
        UnreadableError: There is no header, or a quotation mark is never closed.
    """
    csv.field_size_limit(LONGEST_LINE)
    with path.open(encoding=file_encoding(path, remark), errors="replace", newline="") as stream:
        first = stream.readline(LONGEST_LINE)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(first)
        skipped = int(first.lower().startswith("sep="))  # a line that Excel writes and reads
        if not skipped:
            stream.seek(0)
        reader = csv.reader(stream, delimiter=delimiter)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise UnreadableError("no header: the first line must name the columns")
            for cells in reader:
                if len(cells) > len(header) and any(cells[len(header) :]):
                    reason = f"{len(cells)} cells, but the header has {len(header)}"
                    yield Unread(f"line {skipped + reader.line_num}", reason)
                elif any(_looks_like_rows(cell, delimiter, len(header)) for cell in cells):
                    reason = "a quotation mark that is not closed: the cell contains what looks like further rows"
                    yield Unread(f"line {skipped + reader.line_num}", reason)
                elif any(cells):
                    yield keyed(header, cells)
        except csv.Error as error:
            raise UnreadableError(f"damaged at line {skipped + reader.line_num}: {error}") from error


def _looks_like_rows(cell: str, delimiter: str, columns: int) -> bool:
    """Tell whether all inner lines of a cell have as many delimiters as the header, which text hardly has."""
    inner = cell.splitlines()[1:-1]
    return columns > 2 and bool(inner) and all(line.count(delimiter) == columns - 1 for line in inner)


def _delimiter(line: str) -> str:
    """Return the delimiter that is most frequent outside quotation marks."""
    if line.lower().startswith("sep=") and line[4:5] in DELIMITERS:
        return line[4]
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def keyed(header: list[str], cells: "list[Any] | tuple[Any, ...]") -> Row:
    """Return cells by column name; where several columns have the same name, a list of them."""
    row: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=False):
        if not name:
            continue
        row[name] = (
            cell if name not in row else [*(row[name] if isinstance(row[name], list) else [row[name]]), cell]
        )
    return row


def parquet_rows(path: Path, remark: Remark) -> Iterator[Row | Unread]:
    """Yield the rows of a Parquet file; columns of bytes, such as images, are left out."""
    with pq.ParquetFile(path) as file:
        names = [field.name for field in file.schema_arrow if not _is_binary(field.type)]
        for batch in file.iter_batches(batch_size=BATCH, columns=names):
            yield from batch.to_pylist()


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
