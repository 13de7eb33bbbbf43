"""Reads Jupyter notebooks: Markdown cells as text, code cells as listings, and their short text output."""

import json
from collections.abc import Iterator
from typing import Any

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.readers import markdown
from embedtune.ingest.readers.blobs import without_blobs

LONGEST_OUTPUT = 30  # lines; longer output is a log, or data
Cell = dict[str, Any]  # as nbformat defines it, versions 3 and 4


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read the cells of a notebook in order. Pictures, widgets, errors and long output are left out.

    Raises:
        UnreadableError: It is not a notebook.
    """
    book = json.loads(decode(data, remark))
    worksheets = [book] if isinstance(book, dict) and "cells" in book else _worksheets(book)
    blocks: list[Block] = []
    for cell in (
        cell for worksheet in worksheets for cell in worksheet.get("cells", ()) if isinstance(cell, dict)
    ):
        blocks += _cell(cell, remark)
    return blocks


def _worksheets(book: object) -> list[Cell]:
    """Return the worksheets of a notebook in the older format."""
    if isinstance(book, dict) and isinstance(book.get("worksheets"), list):
        return [worksheet for worksheet in book["worksheets"] if isinstance(worksheet, dict)]
    raise UnreadableError("not a Jupyter notebook: it has no cells")


def _cell(cell: Cell, remark: Remark) -> Iterator[Block]:
    source = without_blobs(_joined(cell.get("source", cell.get("input"))), remark)
    kind = cell.get("cell_type")
    if kind == "code":
        yield Block("code", source)
        for output in cell.get("outputs") or ():
            if isinstance(output, dict):
                yield from _output(output, remark)
    elif kind == "heading":  # of the older format
        yield Block("heading", source, int(cell.get("level") or 1))
    elif kind == "raw":
        yield Block("paragraph", source)
    else:
        yield from markdown.read(source.encode("utf-8", "replace"), remark)


def _output(output: Cell, remark: Remark) -> Iterator[Block]:
    if output.get("output_type") in ("error", "pyerr"):
        remark("errors in the output of cells are not read")
        return
    held = output.get("data", output)
    text = _joined(output.get("text") or (held.get("text/plain") if isinstance(held, dict) else None))
    if isinstance(held, dict) and any(str(key).startswith(("image/", "png", "jpeg", "svg")) for key in held):
        remark("pictures in the output of cells are not read")
        return
    if text.count("\n") >= LONGEST_OUTPUT:
        remark(f"output of cells with more than {LONGEST_OUTPUT} lines is not read")
        return
    yield Block("code", without_blobs(text, remark))


def _joined(value: object) -> str:
    """Return text that is stored as a string or as a list of lines."""
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""
