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
# Folders in which generated reference is, among other things, and folders that only generators fill.
_REFERENCE_PLACE = frozenset(("api", "api-reference", "gen", "reference"))
_GENERATED_PLACE = frozenset(
    ("apidoc", "apidocs", "autoapi", "autosummary", "_autosummary", "generated", "godoc", "javadoc", "openapi")
) | {"swagger", "typedoc"}
_GENERATED_BELOW = re.compile(r"(?:^|/)reference/[\w-]+-api/")  # such as Kubernetes' reference/config-api/
_GENERATED_TEXT = re.compile(
    r"\b(?:auto[- ]?generated|(?:code|file|page|document) (?:is|was)? ?generated (?:by|from))\b", re.IGNORECASE
)
# Of the document itself: a manual that begins with what the machine generates is none.
_SAYS_GENERATED = re.compile(
    r"\b(?:this|the)\s+(?:[\w-]+\s+){0,3}?(?:page|file|document|documentation|reference)\s+(?:is|was|has been)\s+"
    r"(?:auto(?:matically)?[- ]?)?generated\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?:;\n]{20,}[.!?:;](?:\s|$)")
BEGINNING = 300  # characters of a document in which it says that it was generated
LEADERS = 0.5  # share of lines with dot leaders
PROSE = 0.3  # share of the characters that are in sentences


def says_generated(beginning: str) -> bool:
    """Return whether a document says at its beginning that a program wrote it.

    Args:
        beginning: The text of its first chunk.
    """
    return _SAYS_GENERATED.search(beginning[:BEGINNING]) is not None


def passage_kind(path: str, headings: list[str], text: str, *, generated: bool = False) -> PassageKind:
    """Return what kind of text a chunk is.

    Args:
        path: Path of its document.
        headings: Headings above the chunk, outermost first.
        text: Its own text.
        generated: Whether its document says that it was generated.
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
    folders = place.parts[:-1]
    if generated or _GENERATED_PLACE.intersection(folders) or _GENERATED_BELOW.search(str(place)):
        return "reference"
    likely = _GENERATED_TEXT.search(text) or _REFERENCE_PLACE.intersection(folders)
    return "reference" if likely and sentences < PROSE else "prose"


def _share_of_sentences(text: str) -> float:
    return sum(len(found) for found in _SENTENCE.findall(text)) / max(1, len(text))
