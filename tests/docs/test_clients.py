"""Python blocks of the documents, run against a real gateway; those of serving.md run in tests/serve/gateway."""

import re

import pytest

from tests.support.gateway_server import key as stored
from tests.support.gateway_server import serving
from tests.support.markdown import ROOT, blocks, documents
from tests.support.triton_server import Triton, options

ELSEWHERE = ROOT / "docs" / "serving.md"
PYTHON = [
    block for path in documents() if path != ELSEWHERE for block in blocks(path) if block.language == "python"
]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_a_python_block_runs(block, triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openai")
    key = re.search(r'api_key="(\w+)"', block.text)
    assert key is not None
    with serving(options(triton, api_key=stored(key[1]))) as url:
        code, count = re.subn(r"http://127\.0\.0\.1:\d+", url, block.text)
        assert count == 1
        exec(compile(code, block.place, "exec"), {"__name__": "example"})
    if "print(" in block.text:
        assert capsys.readouterr().out == "32\n"  # dimensions of the tiny model
