"""Code in Markdown: fenced blocks, line by line, and code spans."""

import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(`{3,}|~{3,})(.*)$")
_RUN = re.compile(r"`+")
# Characters of the private use area: no document means anything by them.
_OPEN, _CLOSE = "\uf8e0", "\uf8e1"
_MARK = re.compile(f"`?{_OPEN}(\\d+){_CLOSE}`?")
_LONGEST = 2000  # characters of a code span


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is inside a fenced block; the lines of the fence itself are not."""
    fence = ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence:
            closes = match and match.group(1).startswith(fence) and not match.group(2).strip()
            yield line, not closes
            fence = "" if closes else fence
        else:
            yield line, False
            fence = match.group(1) if match and not (match.group(1)[0] == "`" and "`" in match.group(2)) else ""


def outside_code(text: str, change: Callable[[str], str], in_code: Callable[[str], str] = str) -> str:
    """Return the text with `change` applied to every stretch of it that is not fenced code.

    Args:
        text: Markdown.
        change: Applied to several lines at once.
        in_code: Applied to each line of fenced code; by default they stay as they are.
    """
    parts: list[str] = []
    stretch: list[str] = []
    for line, is_code in lines_of(text):
        if not is_code:
            stretch.append(line)
            continue
        if stretch:
            parts.append(change("\n".join(stretch)))
            stretch = []
        parts.append(in_code(line))
    return "\n".join([*parts, change("\n".join(stretch))] if stretch else parts)


def without_code_spans(text: str) -> tuple[str, list[str]]:
    """Return the text with a mark in place of each code span, and the spans; `with_code_spans` puts them back."""
    text = text.replace(_OPEN, "").replace(_CLOSE, "")
    runs = [
        run
        for run in _RUN.finditer(text)
        if len(run.group()) < 3 or not _FENCE.match(_line_until(text, run.end()))
    ]
    following: dict[int, int] = {}
    ends = [0] * len(runs)
    for place in reversed(range(len(runs))):
        length = len(runs[place].group())
        ends[place] = following.get(length, 0)
        following[length] = place
    parts: list[str] = []
    spans: list[str] = []
    done = place = 0
    while place < len(runs):
        start, end = runs[place].start(), runs[ends[place]].end()
        # A span ends in its paragraph.
        if ends[place] and "\n\n" not in text[start : min(end, start + _LONGEST)] and end - start <= _LONGEST:
            parts += [text[done:start], f"`{_OPEN}{len(spans)}{_CLOSE}`"]
            spans.append(text[start:end])
            done, place = end, ends[place]
        place += 1
    return "".join([*parts, text[done:]]), spans


def with_code_spans(text: str, spans: list[str]) -> str:
    """Put the code spans back that are still named in the text."""
    return _MARK.sub(lambda found: spans[int(found.group(1))], text) if spans else text


def _line_until(text: str, end: int) -> str:
    return text[text.rfind("\n", 0, end) + 1 : end]
