"""Reads plain text: paragraphs between empty lines, and the headings, lists and columns that people type."""

import re

from embedtune.ingest.blocks import Block
from embedtune.ingest.encodings import Remark, decode, ignore

LONGEST = 12  # words in a heading
_UNDERLINE = re.compile(r"^([=\-~#*_^])\1{2,}\s*$")
_NUMBERED = re.compile(r"^(\d+(?:\.\d+)*)[.)]?\s+[^\W\d_]")
_ITEM = re.compile(r"^\s*(?:[-*\u2022\u2013]|\(?\d{1,3}[.)])\s+\S")
_COLUMNS = re.compile(r"\S(?: {2,}|\t+)\S")
_SENTENCE_END = (".", "!", "?", ",", ";", ":", "\u3002")


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read plain text.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    return plain_blocks(decode(data, remark))


def plain_blocks(text: str, *, titled: bool = False) -> list[Block]:
    """Return the blocks of plain text.

    Args:
        text: The text.
        titled: Whether its title is known already: a short first line is then not taken for one.
    """
    blocks: list[Block] = []
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")):
        lines = [line.rstrip() for line in paragraph.split("\n") if line.strip()]
        if lines:
            blocks += _paragraph(lines, first=not blocks and not titled)
    return blocks


def _paragraph(lines: list[str], *, first: bool) -> list[Block]:
    if len(lines) >= 2 and _UNDERLINE.match(lines[1]) and len(lines[0].split()) <= LONGEST:
        heading = Block("heading", lines[0], 1 if lines[1][0] == "=" else 2)
        return [heading, *(_paragraph(lines[2:], first=False) if lines[2:] else [])]
    if len(lines) == 1 and (level := _heading_level(lines[0], first)):
        return [Block("heading", lines[0], level)]
    if _is_columns(lines):
        return [Block("table", "\n".join(lines))]
    if _ITEM.match(lines[0]):
        return _items(lines)
    return [Block("paragraph", " ".join(lines))]


def _heading_level(line: str, first: bool) -> int:
    """Return the heading level of a single line between empty lines, 0 if it is not a heading."""
    text = line.strip()
    if len(text.split()) > LONGEST or text.endswith(_SENTENCE_END) or not any(map(str.isalpha, text)):
        return 0
    if first:
        return 1
    if match := _NUMBERED.match(text):
        return 2 + match.group(1).count(".")
    letters = [char for char in text if char.isalpha()]
    return 2 if len(letters) > 2 and text == text.upper() and text != text.lower() else 0


def _is_columns(lines: list[str]) -> bool:
    """Return whether lines are in columns or indented like a listing, so that line breaks matter."""
    if _ITEM.match(lines[0]) or len(lines) < 2:
        return False
    columns = sum(bool(_COLUMNS.search(line.strip())) for line in lines)
    return columns * 2 >= len(lines) or all(line.startswith(("    ", "\t")) for line in lines)


def _items(lines: list[str]) -> list[Block]:
    items: list[list[str]] = []
    for line in lines:
        if _ITEM.match(line):
            items.append([line.strip()])
        else:
            items[-1].append(line.strip())
    return [Block("list", " ".join(item)) for item in items]
