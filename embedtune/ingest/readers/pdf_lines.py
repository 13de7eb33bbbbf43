"""The lines of a PDF page, put together from the places of its characters, which PDFium reports.

The order of characters is PDFium's. Their places decide the rest: characters whose boxes overlap in height are
on one line, small and raised ones are exponents or footnote marks, and a line with right-to-left letters is read
from the right. Text that is turned by a quarter or a half is read in its own direction.
"""

import ctypes
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

RAISED, NOTE_END = "\ue000", "\ue001"  # around what is raised, until it is known which numbers are footnotes
SMALLER = 0.85  # a raised character is at most this much of the height of its line …
HIGHER = 0.15  # … and its lower edge at least this much higher
GAP = 0.25  # of the height of a line: a space
_LIGATURES = {ord(char): unicodedata.normalize("NFKC", char) for char in map(chr, range(0xFB00, 0xFB07))}
_ARABIC_FORMS = re.compile("[\ufb50-\ufdff\ufe70-\ufeff]+")
_MARK = re.compile(rf"{RAISED}([^{NOTE_END}]*){NOTE_END}")
_NUMBER = re.compile(r"^[+\u2212\u2013-]?\d{1,3}(?:,\s?\d{1,3})*$")
_POWER_OF_TEN = re.compile(r"(?<!\d)10$")


@dataclass(frozen=True)
class Line:
    """A line of text.

    Args:
        text: The text.
        size: Font size of most of its characters in points.
        aside: It is turned another way than most text of its page, as a stamp in the margin is.
    """

    text: str
    size: float
    aside: bool = False


@dataclass(frozen=True)
class _Glyph:
    """A character, in a box that is turned so that the text runs to the right.

    Args:
        text: The character.
        left: Where it begins.
        right: Where it ends.
        bottom: Lower edge.
        top: Upper edge.
        index: Its number on the page.
        turns: By how many quarters its text is turned on the page, clockwise.
    """

    text: str
    left: float
    right: float
    bottom: float
    top: float
    index: int
    turns: int

    @property
    def height(self) -> float:
        return self.top - self.bottom


def page_lines(page: pdfium.PdfPage) -> list[Line]:
    """Return the lines of a page; raised numbers are marked until `resolved` decides what they are."""
    text_page = page.get_textpage()
    glyphs = list(_glyphs(text_page, page.get_bbox()))
    turns = Counter(glyph.turns for glyph in glyphs if not glyph.text.isspace())
    upright = max(turns, key=lambda number: (turns[number], -number), default=0)
    lines = (_line(group, text_page, upright) for group in _grouped(glyphs))
    return [line for line in lines if line.text]


def resolved(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Write raised numbers as text: those of footnotes, which begin a line somewhere, as [1], others as ^1."""
    notes = {match.group(1) for page in pages for line in page if (match := _MARK.match(line.text)) is not None}
    return [[replace(line, text=_resolved(line.text, notes)) for line in page] for page in pages]


def _resolved(text: str, notes: set[str]) -> str:
    def written(match: re.Match[str]) -> str:
        before, number = text[: match.start()], match.group(1)
        if number in notes and not _POWER_OF_TEN.search(before):
            return f" [{number}] "
        return f"^{number}"

    found = _MARK.sub(written, text)
    return re.sub(r" ([.,;:!?)])", r"\1", " ".join(found.split())) if found != text else text


def _glyphs(text_page: pdfium.PdfTextPage, visible: tuple[float, float, float, float]) -> Iterator[_Glyph]:
    """Yield the characters of a page that are inside its visible box; printer's marks are outside."""
    box = pdfium_c.FS_RECTF()
    turns = 0
    for number in range(text_page.count_chars()):
        code = pdfium_c.FPDFText_GetUnicode(text_page, number)
        if code in (0, 10, 13):
            continue
        pdfium_c.FPDFText_GetLooseCharBox(text_page, number, ctypes.byref(box))
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        if not (visible[0] <= across <= visible[2] and visible[1] <= up <= visible[3]):
            continue
        # PDFium's sign for a hyphen at the end of a line.
        char = "-" if code in (2, 0xFFFE) else chr(code)
        if not char.isspace():  # PDFium adds spaces, which have no angle
            turns = round(pdfium_c.FPDFText_GetCharAngle(text_page, number) / (math.pi / 2)) % 4
        yield _Glyph(char, *_turned_back(box, turns), number, turns)


def _turned_back(box: pdfium_c.FS_RECTF, turns: int) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a box after so many quarters against the clock."""
    left, right, bottom, top = box.left, box.right, box.bottom, box.top
    for _ in range(turns):
        left, right, bottom, top = -top, -bottom, left, right
    return left, right, bottom, top


def _grouped(glyphs: Sequence[_Glyph]) -> Iterator[list[_Glyph]]:
    """Yield the characters of each line."""
    line: list[_Glyph] = []
    tallest: _Glyph | None = None
    for glyph in glyphs:
        if tallest is not None and not _overlap(tallest, glyph):
            yield line
            line, tallest = [], None
        line.append(glyph)
        if not glyph.text.isspace() and (tallest is None or glyph.height > tallest.height):
            tallest = glyph
    yield line


def _overlap(line: _Glyph, glyph: _Glyph) -> bool:
    common = min(line.top, glyph.top) - max(line.bottom, glyph.bottom)
    return line.turns == glyph.turns and common >= 0.5 * min(line.height, glyph.height)


def _line(glyphs: list[_Glyph], text_page: pdfium.PdfTextPage, upright: int) -> Line:
    inked = [glyph for glyph in glyphs if not glyph.text.isspace()]
    if not inked:
        return Line("", 0.0)
    heights = Counter(round(glyph.height, 1) for glyph in inked)
    usual = max(heights, key=lambda height: (heights[height], height))
    size = _font_size(next(glyph for glyph in inked if round(glyph.height, 1) == usual), text_page)
    aside = inked[0].turns != upright
    if any(_is_rtl(glyph.text) for glyph in inked):
        placed = [glyph for glyph in glyphs if glyph.right > glyph.left]  # without the spaces that PDFium adds
        text = _logical(_spaced(sorted(placed, key=lambda glyph: glyph.left), usual))
        return Line(_tidy(text), size, aside)
    base = min(glyph.bottom for glyph in inked if round(glyph.height, 1) == usual)

    def raised(glyph: _Glyph) -> bool:
        return (
            glyph.height <= SMALLER * usual and glyph.bottom >= base + HIGHER * usual and not glyph.text.isspace()
        )

    text = ""
    for up, run in groupby(glyphs, key=raised):
        part = _spaced(list(run), usual)
        text += f"{RAISED}{part}{NOTE_END}" if up and _NUMBER.match(part) else part
    return Line(_tidy(text), size, aside)


def _font_size(glyph: _Glyph, text_page: pdfium.PdfTextPage) -> float:
    """Return the font size in points, as it is drawn."""
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFText_GetMatrix(text_page, glyph.index, ctypes.byref(matrix))
    scale = math.hypot(matrix.c, matrix.d) or 1.0
    return float(round(pdfium_c.FPDFText_GetFontSize(text_page, glyph.index) * scale, 1))


def _spaced(glyphs: Sequence[_Glyph], height: float) -> str:
    """Return characters from left to right as text, with a space where there is a gap."""
    text, right = "", None
    for glyph in glyphs:
        if right is not None and glyph.left - right > GAP * height and text[-1:] != " ":
            text += " "
        text += glyph.text
        right = glyph.right
    return text


def _tidy(text: str) -> str:
    text = _ARABIC_FORMS.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    return " ".join(text.translate(_LIGATURES).split())


_CLASSES = {"R": "r", "AL": "r", "L": "l", "EN": "n", "AN": "n", "ES": "s", "CS": "s", "ET": "e", "NSM": "m"}
_LEFT_TO_RIGHT = re.compile("[lne](?:[^r]*[lne])?")
_RIGHT_TO_LEFT = re.compile("r(?:[^ln]*r)?")
_AMOUNT = re.compile("e*n(?:s?n)*e*")


def _is_rtl(text: str) -> bool:
    return unicodedata.bidirectional(text) in ("R", "AL")


def _classes(text: str) -> str:
    return "".join(_CLASSES.get(unicodedata.bidirectional(char), "o") for char in text)


def _logical(visual: str) -> str:
    """Return the text of a line, given its characters from left to right (the reverse of Unicode's UAX 9)."""
    classes = _classes(visual)
    if classes.count("r") < classes.count("l"):
        return _reversed_runs(visual, classes, _RIGHT_TO_LEFT)
    text, classes = visual[::-1], classes[::-1]
    for match in list(_LEFT_TO_RIGHT.finditer(classes)):
        start, stop = match.span()
        if "l" in match.group():
            text = text[:start] + text[start:stop][::-1] + text[stop:]
        else:
            text = text[:start] + _reversed_runs(text[start:stop], match.group(), _AMOUNT) + text[stop:]
    return text


def _reversed_runs(text: str, classes: str, run: re.Pattern[str]) -> str:
    for match in run.finditer(classes):
        start, stop = match.span()
        text = text[:start] + text[start:stop][::-1] + text[stop:]
    return text
