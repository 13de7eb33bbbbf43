"""Keeps the chunks of a corpus on disk between two passes over it; only their positions are in memory."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict


class ChunkRow(TypedDict):
    """A chunk as one line of the file. The file exists only during one run, so it needs no schema version."""

    chunk_id: str
    doc_id: str
    text: str
    heading_path: list[str]
    position: int
    char_start: int
    char_end: int
    n_words: int
    n_tokens: int


class ChunkFile:
    """A temporary file of JSON lines; in memory it takes eight bytes per chunk.

    Args:
        path: The file; an older one is overwritten, and leaving the `with` statement deletes it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: BinaryIO = path.open("w+b")
        self._starts = array("Q")

    def __enter__(self) -> "ChunkFile":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, row: ChunkRow) -> None:
        """Write a chunk at the end; all chunks must be written before the first is read."""
        self._starts.append(self._file.tell())
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def __getitem__(self, number: int) -> ChunkRow:
        self._file.seek(self._starts[number])
        row: ChunkRow = json.loads(self._file.readline())
        return row

    def __iter__(self) -> Iterator[ChunkRow]:
        return (self[number] for number in range(len(self)))
