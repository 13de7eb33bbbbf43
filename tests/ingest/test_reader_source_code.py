"""Source code: one listing per definition, under the path of the file."""

from pathlib import Path

import pytest

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.entries import Found
from embedtune.ingest.readers.source_code import read
from embedtune.ingest.reading import read_documents

CODE = b"""import os

# Opens the valve.
def start(pump):
    pump.open()

    return 40


static int stop(void)
{
\tclose();
}
"""


def test_definitions_at_the_margin_are_listings() -> None:
    assert read(CODE) == [
        Block("code", "import os\n"),
        Block("code", "# Opens the valve.\ndef start(pump):\n    pump.open()\n\n    return 40\n\n"),
        Block("code", "static int stop(void)\n{\n    close();\n}"),
    ]


def test_path_is_the_title(tmp_path: Path) -> None:
    path = tmp_path / "valve.py"
    path.write_bytes(CODE)
    (found,) = read_documents("pump/valve.py", path, ())
    assert isinstance(found, Found)
    assert found.extract.title("") == "pump/valve.py" and "    return 40" in found.extract.text


def test_minified_code_and_data_are_left_out() -> None:
    with pytest.raises(UnreadableError, match="minified"):
        read(b"var a=1; " * 500)
    remarks: list[str] = []
    assert read(b"key = '" + b"QUJD" * 100 + b"'", remarks.append) == [Block("code", "key = '…'")]
    assert remarks == ["encoded data inside the text is not read"]
