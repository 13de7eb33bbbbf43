"""Reads DOCX with python-docx: headings by style, lists, listings and tables, in document order."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from docx import Document
from docx.document import Document as WordDocument
from docx.oxml import parse_xml
from docx.text.paragraph import Paragraph

from embedtune.ingest.blocks import Block, table_block
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.readers.packages import as_libraries_know_it, open_package
from embedtune.ingest.readers.word_xml import (
    Element,
    attribute,
    boxes,
    continues,
    name,
    outline,
    parts,
    references,
    rows,
    text_of,
)

_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_LIST = re.compile(r"^list (?:(bullet|number)|continue|paragraph)?\s*(\d)?$", re.IGNORECASE)
DEEPEST_STYLES = 20  # of styles that are based on each other; damaged files have circles
TEXT_LEVEL = 9  # in the outline: no heading
_CODE = re.compile(r"code|listing|preformatted|macro", re.IGNORECASE)


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a Word document; a paragraph in style Title is the outermost heading.

    Raises:
        UnreadableError: The document is encrypted, or far too large when unpacked.
    """
    open_package(data, ".docx", ".doc").close()
    document = Document(as_libraries_know_it(io.BytesIO(data)))
    reader = _Reader(document, _notes(document))
    items = list(parts(document.element.body, ("p", "tbl")))
    reader.deeper = int(any(name(item) == "p" and reader.style(item) == "Title" for item in items))
    blocks = list(reader.blocks(items))
    if document.element.body.xpath(".//w:altChunk"):
        remark("a part of the document is another embedded document, which is not read")
    if document.element.body.xpath(".//w:commentReference"):
        remark("comments are not read")
    return blocks


def _notes(document: WordDocument) -> dict[tuple[str, str], Element]:
    """Return the footnotes and endnotes, by kind and id."""
    notes = {}
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2].removesuffix("s")
        if kind in ("footnote", "endnote") and not relation.is_external:
            for note in parts(parse_xml(relation.target_part.blob), (kind,)):
                notes[kind, attribute(note, "id")] = note
    return notes


@dataclass
class _Reader:
    """Turns paragraphs and tables into blocks; what hangs on one of them comes after it.

    Args:
        document: The document, for the names of its styles.
        notes: Its footnotes and endnotes.
        deeper: By how many levels its headings are deeper than their styles say.
    """

    document: WordDocument
    notes: dict[tuple[str, str], Element]
    deeper: int = 0

    def blocks(self, items: Iterable[Element]) -> Iterator[Block]:
        """Yield the blocks of paragraphs and tables, in order."""
        number = 0
        code: list[str] = []
        for item in items:
            if name(item) == "p" and _CODE.search(self.style(item)):
                code.append(text_of(item))
                continue
            if code:
                yield Block("code", "\n".join(code))
                code = []
            if name(item) == "tbl":
                yield from self._table(item)
                continue
            block = self._paragraph(item, number + 1)
            number = number + 1 if block.kind == "list" else 0
            yield block
            yield from self._attached(item)
        if code:
            yield Block("code", "\n".join(code))

    def style(self, paragraph: Element) -> str:
        """Return the name of a paragraph's style."""
        return next(iter(self._styles(paragraph)), ("", None))[0]

    def _styles(self, paragraph: Element) -> Iterator[tuple[str, int | None]]:
        """Yield name and outline level of a paragraph's style, then those of the styles that it is based on."""
        style: Any = Paragraph(paragraph, self.document._body).style
        for _ in range(DEEPEST_STYLES):
            if style is None:
                return
            yield style.name or "", outline(style.element)
            style = getattr(style, "base_style", None)

    def _heading(self, paragraph: Element) -> int | None:
        """Return the level of a heading, None if the paragraph is none.

        Templates have heading styles of their own, which are based on Word's or have a level in the outline. The
        level that is the nearest to the paragraph counts; one of 9 says that it is text.
        """
        if (level := outline(paragraph)) is not None:
            return self._outer(level)
        for style, level in self._styles(paragraph):
            if style == "Title":
                return 1
            if match := _HEADING.match(style):
                return int(match.group(1)) + self.deeper
            if level is not None:
                return self._outer(level)
        return None

    def _outer(self, level: int) -> int | None:
        return level + 1 + self.deeper if level < TEXT_LEVEL else None

    def _attached(self, item: Element) -> Iterator[Block]:
        for box in boxes(item):
            yield from self.blocks(parts(box, ("p", "tbl")))
        for key in references(item):
            if key in self.notes:
                yield from self.blocks(parts(self.notes[key], ("p", "tbl")))

    def _table(self, table: Element) -> Iterator[Block]:
        """Yield a table, then the tables inside its cells, then what hangs on it; a merged cell counts once."""
        inner: list[Element] = []
        lines = []
        for row in rows(table):
            cells = []
            for cell in row:
                items = list(parts(cell, ("p", "tbl")))
                inner += [item for item in items if name(item) == "tbl"]
                texts = [text_of(item) for item in items if name(item) == "p"]
                cells.append("" if continues(cell) else "\n".join(texts))
            lines.append(cells)
        yield table_block(lines)
        for item in inner:
            yield from self._table(item)
        for paragraph in (item for row in rows(table) for cell in row for item in parts(cell, ("p", "tbl"))):
            if name(paragraph) == "p":
                yield from self._attached(paragraph)

    def _paragraph(self, paragraph: Element, number: int) -> Block:
        style, text = self.style(paragraph), text_of(paragraph)
        if (level := self._heading(paragraph)) is not None:
            return Block("heading", text, level)
        numbered = paragraph.pPr is not None and paragraph.pPr.numPr is not None
        if (match := _LIST.match(style)) or numbered:
            ordered = match is not None and match.group(1) is not None and match.group(1).lower() == "number"
            level = int(match.group(2)) - 1 if match and match.group(2) else 0
            return Block("list", f"{number}. {text}" if ordered else f"- {text}", level)
        return Block("paragraph", text)
