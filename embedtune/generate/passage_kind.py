"""Tells passages that people rarely ask about: licences, changelogs, tables of contents, generated reference.

The rules are narrow on purpose. A contract is not a licence of software, and a table of parts is no table of
contents: a passage whose kind is in doubt is prose.
"""

import re
from pathlib import PurePosixPath

from embedtune.core.config.asked_shares import PassageKind

_LICENCE_FILE = re.compile(
    r"^(?:licen[cs]es?|copying|notice|copyright|third[-_ ]?party[-_ ]?(?:licen[cs]es|notices))\b"
)
_LICENCE_TEXT = re.compile(
    r"permission is hereby granted, free of charge|redistributions of source code must retain|"
    r"licensed under the (?:apache|mit|bsd|mozilla)|gnu (?:lesser |affero )?general public license|"
    r"the software is provided [\"'“]?as is",
    re.IGNORECASE,
)
_CHANGES = re.compile(r"^(?:change[-_ ]?log|changes|history|release[-_ ]?notes?|releases|what'?s[-_ ]?new)$")
_VERSION = re.compile(r"\bv?\d+\.\d+(?:\.\d+)?\b")
_CONTENTS = re.compile(
    r"^(?:table of )?contents$|^(?:general )?index$|^inhalt(?:sverzeichnis)?$|^sommaire$|^índice$"
)
_LEADER = re.compile(r"(?:\. ?){4,}\s*\w{1,5}$|…+\s*\w{1,5}$")
_PLACES = """
api apidoc apidocs api-reference autoapi autosummary _autosummary generated gen godoc javadoc openapi reference
swagger typedoc
"""
_GENERATED_PLACE = frozenset(_PLACES.split())
_GENERATED_TEXT = re.compile(
    r"\b(?:auto[- ]?generated|(?:code|file|page|document) (?:is|was)? ?generated (?:by|from))\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^.!?:;\n]{20,}[.!?:;](?:\s|$)")
LEADERS = 0.5  # share of lines with dot leaders
PROSE = 0.3  # share of the characters that are in sentences


def passage_kind(path: str, headings: list[str], text: str) -> PassageKind:
    """Return what kind of text a chunk is.

    Args:
        path: Path of its document.
        headings: Headings above the chunk, outermost first.
        text: Its own text.
    """
    place = PurePosixPath(path.partition("#")[0].lower())
    stem = place.stem if place.suffix else place.name
    lines = [line for line in text.split("\n") if line.strip()]
    if _LICENCE_FILE.match(stem) or _LICENCE_TEXT.search(text):
        return "licence"
    title = headings[-1].strip().lower() if headings else ""
    sentences = _share_of_sentences(text)
    listed = _CONTENTS.match(title) and sentences < PROSE
    if listed or (lines and sum(map(bool, map(_LEADER.search, lines))) >= LEADERS * len(lines)):
        return "contents"
    if any(_CHANGES.match(part) for part in (*place.parts[:-1], stem)) and _VERSION.search(
        f"{' '.join(headings)} {text}"
    ):
        return "changelog"
    generated = _GENERATED_TEXT.search(text) or _GENERATED_PLACE.intersection(place.parts[:-1])
    return "reference" if generated and sentences < PROSE else "prose"


def _share_of_sentences(text: str) -> float:
    return sum(len(found) for found in _SENTENCE.findall(text)) / max(1, len(text))
