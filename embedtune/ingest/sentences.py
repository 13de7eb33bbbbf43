"""Finds where sentences end."""

import re

Span = tuple[int, int]
# A mark that may end a sentence, with the quotes and brackets that close after it. The full-width marks of Chinese
# and Japanese are not followed by a blank.
_CLOSING = "\"'\u201d\u2019)\\]\u00bb"
_WIDE_CLOSING = "\u300d\u300f\u201d\u2019\uff09"
_END = re.compile(
    rf"[.!?\u2026]+[{_CLOSING}]*(?=\s)"
    r"|[\u0964\u0965\u061f\u06d4]+(?=\s)"  # Devanagari dandas, Arabic question mark and full stop
    rf"|[\u3002\uff01\uff1f\uff61]+[{_WIDE_CLOSING}]*"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018]*$")
_ABBREVIATED = """
e.g. i.e. etc. vs. cf. fig. figs. no. nos. eq. sec. ch. vol. ed. al. dr. mr. mrs. ms. prof. st. inc. ltd. co. corp.
approx. dept. resp. incl. p. pp. z.b. bzw. ca. nr. abb.
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())


def sentence_spans(text: str, start: int, end: int) -> list[Span]:
    """Return the spans of the sentences in `text[start:end]`: everything except the white space between them.

    Args:
        text: The text of a document.
        start: Position where a paragraph begins in it.
        end: Position where the paragraph ends.
    """
    spans = []
    begin = start
    for match in _END.finditer(text, start, end):
        stop = match.end()
        if stop >= end or not _is_end(text, begin, match.group(), stop):
            continue
        spans.append((begin, stop))
        begin = stop
        while begin < end and text[begin].isspace():
            begin += 1
    if begin < end:
        spans.append((begin, end))
    return spans


def _is_end(text: str, begin: int, mark: str, stop: int) -> bool:
    if not mark.startswith("."):
        return True
    following = text[stop : stop + 8].lstrip()
    if following and following[0].islower():
        return False
    last = _LAST_WORD.search(text, max(begin, stop - 24), stop)
    word = last.group().casefold() if last else ""
    # No end: an abbreviation, an initial ("J. Smith"), or the number at the beginning of a step ("1. Open").
    lone = len(word) == 2 and word[0].isalpha()
    number = word.rstrip(".").isdigit() and stop - len(word) == begin
    return not (word in _ABBREVIATIONS or lone or number)
