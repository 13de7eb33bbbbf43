"""Reads PDF with PDFium: lines with their font size, combined into headings and paragraphs."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.readers.pdf_lines import Line, page_lines, resolved

_SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f][\"'\u201d\u2019)\]]*$")
_ITEM = re.compile(r"^(?:[-*\u2022\u2013\u25aa\u25e6]|\(?\d{1,3}[.)])\s")  # the last four: bullets and a dash
_COMPOUND = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
_LAST_WORD = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)[-\u2010]$")
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
LARGER = 1.12  # a heading is at least this much larger than the body text
FULL = 0.7  # a line shorter than this share of a typical full line ends its paragraph
HEADING_WORDS = 20
LONGEST_FURNITURE = 4  # lines at the top or bottom of a page


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read the text of a PDF.

    Raises:
        UnreadableError: The document is encrypted, or contains no text (a scan).
    """
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("encrypted PDF: it needs a password") from error
        raise
    pages: list[list[Line]] = []
    silent = 0
    with closing(document):
        for number in range(len(document)):
            with closing(document[number]) as page:
                pages.append(page_lines(page))
                # A page may be blank; one with content and no text is a scan or a drawing.
                silent += not pages[-1] and pdfium_c.FPDFPage_CountObjects(page) > 0
    if not any(pages):
        raise UnreadableError("PDF without text: probably a scan, run OCR on it first")
    kept = _without_furniture(resolved(pages))
    silent += sum(bool(page) and not left for page, left in zip(pages, kept, strict=True))
    if silent:
        remark(
            f"{silent} of {len(pages)} pages hold no text, probably scans: run OCR first (ocrmypdf --skip-text)"
        )
    return list(_blocks([line for page in kept for line in page]))


def _without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """Remove running headers and page numbers: first or last lines that most pages share, apart from digits.

    Beyond the outermost line, a full line is text that pages happen to share. Lines that are turned come last.
    """
    turned = [[line for line in page if line.aside] for page in pages]
    pages = [[line for line in page if not line.aside] for page in pages]
    if sum(map(bool, pages)) >= 3:
        pages = _without_running_lines(pages)
        shared = Counter(pattern for page in turned for pattern in {_pattern(line) for line in page})
        turned = [[line for line in page if shared[_pattern(line)] * 2 <= len(pages)] for page in turned]
    return [page + asides for page, asides in zip(pages, turned, strict=True)]


def _without_running_lines(pages: list[list[Line]]) -> list[list[Line]]:
    filled = [page for page in pages if page]
    usual = _usual_length([line for page in filled for line in page])
    for edge in (0, -1):
        for number in range(LONGEST_FURNITURE):
            counts = Counter(_pattern(page[edge]) for page in pages if page)
            running = {pattern for pattern, count in counts.items() if count * 2 > len(filled)}
            if number:
                running = {pattern for pattern in running if len(pattern) < FULL * usual}
            if not running:
                break
            pages = [
                (page[1:] if edge == 0 else page[:-1]) if page and _pattern(page[edge]) in running else page
                for page in pages
            ]
    return pages


def _usual_length(lines: list[Line]) -> int:
    lengths = sorted(len(line.text) for line in lines)
    return lengths[len(lengths) * 9 // 10] if lengths else 0


def _pattern(line: Line) -> str:
    return re.sub(r"\d+", "0", line.text)


def _blocks(lines: list[Line]) -> Iterator[Block]:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = max(sizes, key=lambda size: (sizes[size], -size))
    headings = {line.size for line in lines if line.size >= body * LARGER and _is_heading(line)}
    ranks = sorted(headings, reverse=True)
    usual = _usual_length([line for line in lines if line.size not in ranks])
    compounds = {word.lower() for line in lines for word in _COMPOUND.findall(line.text)}
    paragraph: list[str] = []
    for line in lines:
        if line.aside:  # the paragraph that it interrupts goes on
            yield Block("list", line.text)
            continue
        heading = line.size in ranks and _is_heading(line)
        if paragraph and (heading or _ITEM.match(line.text)):
            yield _paragraph(paragraph, usual, compounds)
            paragraph = []
        if heading:
            yield Block("heading", line.text, ranks.index(line.size) + 1)
            continue
        paragraph.append(line.text)
        if len(line.text) < FULL * usual:
            yield _paragraph(paragraph, usual, compounds)
            paragraph = []
    if paragraph:
        yield _paragraph(paragraph, usual, compounds)


def _is_heading(line: Line) -> bool:
    """Tell whether a line in large letters can be a heading: it is short, and more than a number."""
    words = line.text.split()
    return not line.aside and len(words) <= HEADING_WORDS and any(map(str.isalpha, line.text))


def _paragraph(lines: list[str], usual: int, compounds: set[str]) -> Block:
    text = lines[0]
    for line in lines[1:]:
        if not _divides_word(text, line):
            text = f"{text} {line}"
        elif _joined(text, line) in compounds:
            text += line
        else:
            text = text[:-1] + line
    row = len(lines) == 1 and len(text) < FULL * usual and not _SENTENCE_END.search(text)
    return Block("list", text) if row or _ITEM.match(text) else Block("paragraph", text)


def _divides_word(text: str, line: str) -> bool:
    """Tell whether a line ends inside a word.

    A soft hyphen divides a word, a hyphen only one that goes on in small letters.
    """
    return text[-1:] == "\u00ad" or (text[-1:] in ("-", "\u2010") and text[-2:-1].islower() and line[:1].islower())


def _joined(text: str, line: str) -> str:
    """Return the last word of a line and the first of the next with the hyphen between them."""
    before, after = _LAST_WORD.search(text), _FIRST_WORD.match(line)
    return f"{before.group(1)}-{after.group()}".lower() if before and after else ""
