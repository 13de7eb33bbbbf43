"""Jupyter notebooks: text, code and short output; pictures and data are left out and said."""

import json
from typing import Any

import pytest

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers.notebook import read

Cell = dict[str, Any]


def make_notebook(cells: list[Cell]) -> bytes:
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()


def code(source: str | list[str], *outputs: Cell) -> Cell:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def test_cells_are_read_in_order_with_short_output() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Kiln\n", "\n", "It heats."]},
        code(["for x in y:\n", "    print(x)"], {"output_type": "stream", "text": ["40\n"]}),
        {"cell_type": "raw", "source": "As is."},
    ]
    assert read(make_notebook(cells)) == [
        Block("heading", "Kiln", 1),
        Block("paragraph", "It heats."),
        Block("code", "for x in y:\n    print(x)"),
        Block("code", "40\n"),
        Block("paragraph", "As is."),
    ]


def test_pictures_errors_long_output_and_data_are_left_out_and_said() -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "iVBO", "text/plain": "<Figure>"}}
    error = {"output_type": "error", "traceback": ["Traceback"]}
    log = {"output_type": "stream", "text": "step\n" * 40}
    remarks: list[str] = []
    found = read(make_notebook([code(f"x = '{'QUJD' * 100}'", picture, error, log)]), remarks.append)
    assert found == [Block("code", "x = '…'")]
    assert [remark.partition(" ")[0] for remark in remarks] == ["encoded", "pictures", "errors", "output"]


def test_older_format_is_read() -> None:
    worksheet = {
        "cells": [{"cell_type": "heading", "level": 2, "source": "Kiln"}, {"cell_type": "code", "input": "x = 1"}]
    }
    assert read(json.dumps({"nbformat": 3, "worksheets": [worksheet]}).encode()) == [
        Block("heading", "Kiln", 2),
        Block("code", "x = 1"),
    ]


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"worksheets": 1}'])
def test_other_json_is_named(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="not a Jupyter notebook"):
        read(data)
