"""Reads DOCX with python-docx: headings by style, lists, listings and tables, in document order."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator

from docx import Document
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from embedtune.ingest.blocks import Block, UnreadableError, table_block

# KeyError and ValueError: a package without the parts that it names, or with another content type. The last four:
# zipfile raises them on a damaged, exotic, encrypted or truncated archive.
FAILURES: tuple[type[Exception], ...] = (
    OpcError,
    zipfile.BadZipFile,
    LxmlError,
    KeyError,
    ValueError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
)
LARGEST_UNPACKED = 512 << 20  # bytes; a file of a few MB that unpacks to more is a zip bomb, not a document
_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_LIST = re.compile(r"^list (?:(bullet|number)|continue|paragraph)?\s*(\d)?$", re.IGNORECASE)
_CODE = re.compile(r"code|listing|preformatted|macro", re.IGNORECASE)
_TEXT = ".//w:t[not(ancestor::w:txbxContent)] | .//w:r/w:tab | .//w:r/w:br | .//w:r/w:noBreakHyphen"
_SIGNS = {"tab": "\t", "br": "\n", "noBreakHyphen": "-"}
_OLE = b"\xd0\xcf\x11\xe0"


def read(data: bytes) -> list[Block]:
    """Read a Word document; a paragraph in style Title is the outermost heading.

    Raises:
        UnreadableError: The document is encrypted, or far too large when unpacked.
    """
    if data.startswith(_OLE):
        raise UnreadableError("encrypted, or a .doc file with the extension .docx")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LARGEST_UNPACKED:
        raise UnreadableError(f"unpacks to {unpacked >> 20} MB")
    document = Document(io.BytesIO(data))
    items = list(document.iter_inner_content())
    titled = any(isinstance(item, Paragraph) and _style(item) == "Title" for item in items)
    return list(_blocks(items, 1 if titled else 0))


def _blocks(items: list[Paragraph | Table], deeper: int) -> Iterator[Block]:
    number = 0
    code: list[str] = []
    for item in items:
        if isinstance(item, Paragraph) and _CODE.search(_style(item)):
            code.append(_text(item))
            continue
        if code:
            yield Block("code", "\n".join(code))
            code = []
        if isinstance(item, Table):
            yield table_block(_row(row) for row in item.rows)
            continue
        block = _paragraph(item, deeper, number + 1)
        number = number + 1 if block.kind == "list" else 0
        yield block
    if code:
        yield Block("code", "\n".join(code))


def _paragraph(paragraph: Paragraph, deeper: int, number: int) -> Block:
    style, text = _style(paragraph), _text(paragraph)
    if style == "Title":
        return Block("heading", text, 1)
    if match := _HEADING.match(style):
        return Block("heading", text, int(match.group(1)) + deeper)
    numbered = paragraph._p.pPr is not None and paragraph._p.pPr.numPr is not None
    if (match := _LIST.match(style)) or numbered:
        ordered = match is not None and match.group(1) is not None and match.group(1).lower() == "number"
        level = int(match.group(2)) - 1 if match and match.group(2) else 0
        return Block("list", f"{number}. {text}" if ordered else f"- {text}", level)
    return Block("paragraph", text)


def _style(paragraph: Paragraph) -> str:
    return paragraph.style.name or "" if paragraph.style is not None else ""


def _text(paragraph: Paragraph) -> str:
    """Return the text with tracked insertions, which `Paragraph.text` omits, and without tracked deletions."""
    pieces = []
    for node in paragraph._p.xpath(_TEXT):
        name = node.tag.rpartition("}")[2]
        pieces.append(_SIGNS.get(name) or node.text or "")
    return "".join(pieces)


def _row(row: object) -> list[str]:
    """Return the cells of a row; a merged cell counts once."""
    cells: list[str] = []
    last = None
    for cell in row.cells:  # type: ignore[attr-defined]
        if cell._tc is not last:
            cells.append("\n".join(_text(paragraph) for paragraph in cell.paragraphs))
        last = cell._tc
    return cells
