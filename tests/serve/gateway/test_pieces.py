"""A long text that is decoded in pieces is the same text, wherever the pieces end."""

import json
import random

import pytest

from embedtune.serve.gateway import pieces
from embedtune.serve.gateway.pieces import PIECE, numbers_of, utf8_of

PARTS = ["a", "é", "漢", "😀", '"', "\\", "\\\\", "\n", "\x7f", "\\u0041", "plain words "]


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_any_text(seed: int, escaped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 16)  # so that there are many ends
    text = "".join(random.Random(seed).choices(PARTS, k=400))
    written = json.dumps(text, ensure_ascii=escaped).encode()
    assert utf8_of(memoryview(written)) == text.encode()


@pytest.mark.parametrize("before", range(13))
@pytest.mark.parametrize("last", ["😀", "\\", '"', "漢", "\u2028"])
def test_a_piece_ends_neither_in_an_escape_nor_in_a_character(last: str, before: int) -> None:
    text = "x" * (PIECE - before) + last * 20
    for escaped in (True, False):
        assert utf8_of(memoryview(json.dumps(text, ensure_ascii=escaped).encode())) == text.encode()


def test_numbers_come_in_parts() -> None:
    many = list(range(1000))
    parts = list(numbers_of(memoryview(json.dumps(many).encode())))
    assert [len(part) for part in parts] == [256, 256, 256, 232]
    assert [number for part in parts for number in part] == many
    assert list(numbers_of(memoryview(b"[ ]"))) == [[]]
