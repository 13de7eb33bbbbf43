"""Fenced code in Markdown, line by line."""

import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(`{3,}|~{3,})(.*)$")


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


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to every stretch of it that is not fenced code."""
    parts: list[str] = []
    stretch: list[str] = []
    for line, is_code in lines_of(text):
        if not is_code:
            stretch.append(line)
            continue
        if stretch:
            parts.append(change("\n".join(stretch)))
            stretch = []
        parts.append(line)
    return "\n".join([*parts, change("\n".join(stretch))] if stretch else parts)
