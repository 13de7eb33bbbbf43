"""The common form of every document: a list of blocks, and the text extracted from them."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from embedtune.core.errors import InputError
from embedtune.core.retrieval.shingles import words

Kind = Literal["heading", "paragraph", "list", "code", "table"]
LONGEST_HEADING = 30  # words; anything longer is a paragraph set in bold
# Control characters, soft hyphens, zero-width spaces, byte-order marks, lone surrogates (from PDF fonts).
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b\u2060\ufeff\ud800-\udfff]")

# Rulers of tables and listings: they carry no meaning, and cost one token per character.
_RULER = re.compile(r"([-=_*~#.+])\1{7,}")


class UnreadableError(InputError):
    """A document cannot be used, and the run continues without it; `what` is the reason."""


@dataclass(frozen=True)
class Block:
    """A piece of a document.

    Args:
        kind: The kind of block; each list item is a separate block.
        text: Its text; line ends matter in code and tables only.
        level: For a heading its level, 1 being the outermost; for a list item its nesting depth, from 0.
    """

    kind: Kind
    text: str
    level: int = 0


@dataclass(frozen=True)
class Part:
    """A block as a span of its document: `text[start:end]`."""

    kind: Kind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True)
class Extract:
    """A document as text.

    Args:
        text: The cleaned text of all blocks, one after the other.
        parts: The span of each block in it.
    """

    text: str
    parts: tuple[Part, ...]

    def title(self, otherwise: str) -> str:
        """Return the first of the outermost headings, or `otherwise` if there are no headings."""
        headings = [part for part in self.parts if part.kind == "heading"]
        if not headings:
            return otherwise
        first = min(headings, key=lambda part: part.level)
        return self.text[first.start : first.end]


def assemble(blocks: Iterable[Block]) -> Extract:
    """Clean the blocks and join them: list items with a line break, everything else with an empty line."""
    pieces: list[str] = []
    parts: list[Part] = []
    length = 0
    for block in blocks:
        text = _clean(block)
        if not text:
            continue
        kind: Kind = block.kind
        if kind == "heading" and len(words(text)) > LONGEST_HEADING:
            kind = "paragraph"
        if parts:
            glue = "\n" if kind == "list" and parts[-1].kind == "list" else "\n\n"
            pieces.append(glue)
            length += len(glue)
        pieces.append(text)
        parts.append(Part(kind, length, length + len(text), block.level))
        length += len(text)
    return Extract("".join(pieces), tuple(parts))


def _clean(block: Block) -> str:
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", block.text))
    text = _RULER.sub(r"\1\1\1\1", text)
    if block.kind in ("code", "table"):
        lines = [line.rstrip() for line in text.expandtabs(4).splitlines()]
        return textwrap.dedent("\n".join(lines)).strip()
    joined = " ".join(text.split())
    return "  " * block.level + joined if block.kind == "list" and joined else joined


def table_block(rows: Iterable[Sequence[str]]) -> Block:
    """Return a table as one line per row, with bars between the cells; empty rows are left out."""
    lines = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        if any(cells):
            lines.append(" | ".join(cells))
    return Block("table", "\n".join(lines))


def with_title(blocks: list[Block], title: str | None) -> list[Block]:
    """Prepend the title from a document's metadata to its blocks, unless they have a title."""
    if not title or any(block.kind == "heading" and block.level == 1 for block in blocks):
        return blocks
    return [Block("heading", title, 1), *blocks]


def decode(data: bytes) -> str:
    """Decode text by its byte-order mark, else as UTF-8, else as Windows-1252.

    Raises:
        UnreadableError: The data is none of these, or binary.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise UnreadableError(f"not valid {encoding}: {error.reason}") from error
    if b"\x00" in data:
        raise UnreadableError("binary content: it contains NUL bytes")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableError("unknown encoding: neither UTF-8 nor Windows-1252")
