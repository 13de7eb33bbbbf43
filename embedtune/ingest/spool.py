"""Rows on disk between two passes over a corpus: written once, read again one by one or in order."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

Row = dict[str, Any]


class Spool:
    """A file of JSON lines; in memory it takes eight bytes a row.

    Args:
        path: The file; an older one is overwritten.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: BinaryIO = path.open("w+b")
        self._starts = array("Q")

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, row: Row) -> None:
        """Write a row at the end; all rows are written before the first is read."""
        self._starts.append(self._file.tell())
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def __getitem__(self, number: int) -> Row:
        self._file.seek(self._starts[number])
        row: Row = json.loads(self._file.readline())
        return row

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))
