"""What a chunk is made of: sentences, list items, code blocks and tables, cut further only if they must be."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from embedtune.core.retrieval.shingles import words
from embedtune.ingest.blocks import Extract, Part
from embedtune.ingest.sentences import sentence_spans
from embedtune.ingest.tokens import Counter

_LINE = re.compile(r"\S[^\n]*")  # without its indentation
LEAD_IN_MARKS = ":\uff1a"  # a colon, or the full-width one
_BLANK = re.compile(r"\s")


class Gap(IntEnum):
    """What stands before a piece; the later in this list, the worse it is to cut there."""

    SECTION = 0
    BLOCK = 1
    ITEM = 2
    SENTENCE = 3
    LEAD_IN = 4  # after "as follows:"
    LINE = 5  # inside a code block or table
    WORD = 6  # inside a sentence or line


@dataclass(frozen=True)
class Heading:
    """A heading that stands directly before a piece.

    Args:
        start: Where it begins in the text.
        depth: Its place in the heading path, from 0.
        words: Its words.
        tokens: Its tokens.
    """

    start: int
    depth: int
    words: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Atom:
    """A piece of a document that is never cut.

    Args:
        start: Where it begins in the text.
        end: Where it ends.
        path: The headings above it, outermost first.
        headings: Those of them that stand directly before it.
        gap: What stands before it.
        words: Its words.
        tokens: Its tokens, those of the blank space up to the next piece included.
    """

    start: int
    end: int
    path: tuple[str, ...]
    headings: tuple[Heading, ...]
    gap: Gap
    words: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Room:
    """How much a piece may hold.

    Args:
        words: Words of one chunk.
        tokens: Tokens left beside its heading path, for each path.
    """

    words: int
    tokens: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A block that is text, with the headings above and before it."""

    part: Part
    path: tuple[str, ...]
    headings: tuple[Heading, ...]

    @property
    def begin(self) -> int:
        """Where it begins in the text, headings included."""
        return self.headings[0].start if self.headings else self.part.start


def runs(extract: Extract) -> list[Run]:
    """Return the text blocks of a document with their headings. A heading over nothing counts as text."""
    found: list[Run] = []
    stack: list[tuple[int, str]] = []
    pending: list[Part] = []
    for part in extract.parts:
        if part.kind != "heading":
            found.append(_run(part, stack, pending))
            pending = []
            continue
        if pending and pending[-1].level >= part.level:
            empty = pending.pop()
            stack.pop()
            found.append(_run(empty, stack, pending))
            pending = []
        while stack and stack[-1][0] >= part.level:
            stack.pop()
        stack.append((part.level, extract.text[part.start : part.end]))
        pending.append(part)
    if pending:
        stack.pop()
        found.append(_run(pending[-1], stack, pending[:-1]))
    return found


def _run(part: Part, stack: list[tuple[int, str]], pending: list[Part]) -> Run:
    first = len(stack) - len(pending)
    headings = tuple(Heading(heading.start, first + number) for number, heading in enumerate(pending))
    return Run(part, tuple(title for _, title in stack), headings)


@dataclass(frozen=True)
class _Piece:
    """A span on its way to become an atom.

    Args:
        start: Where it begins.
        end: Where it ends.
        until: Where the next piece begins, or the headings before that.
        run: Index of its block.
        gap: What stands before it.
    """

    start: int
    end: int
    until: int
    run: int
    gap: Gap


def make_atoms(extract: Extract, found: list[Run], room: Room, counter: Counter) -> list[Atom]:
    """Cut a document into pieces that fit into a chunk.

    Sentences, list items, code blocks and tables stay whole where they fit; a code block or table that does not is
    cut at line ends, and a sentence or line that does not at a blank near its middle, again and again.

    Args:
        extract: The document.
        found: Its text blocks.
        room: What a piece may hold; it must name the path of each block.
        counter: The tokenizer.
    """
    text = extract.text
    pieces = _first_cut(text, found)
    sizes: dict[_Piece, tuple[int, int]] = {}
    while fresh := [piece for piece in pieces if piece not in sizes]:
        tokens = counter.pieces([text[piece.start : piece.until] for piece in fresh])
        for piece, count in zip(fresh, tokens, strict=True):
            sizes[piece] = (len(words(text[piece.start : piece.end])), count)
        pieces = [
            smaller
            for piece in pieces
            for smaller in (
                [piece] if _fits(piece, sizes[piece], found, room) else _cut(text, piece, found[piece.run].part)
            )
        ]
    headings = _measured_headings(text, found, counter)
    return list(_finish(text, found, headings, [(piece, *sizes[piece]) for piece in pieces]))


def _fits(piece: _Piece, size: tuple[int, int], found: list[Run], room: Room) -> bool:
    count, tokens = size
    small = count <= room.words and tokens <= room.tokens[found[piece.run].path]
    return small or piece.end - piece.start == 1


def _first_cut(text: str, found: list[Run]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, run in enumerate(found):
        part = run.part
        block = text[part.start : part.end]
        spans = [(part.start, part.end)]
        if part.kind not in ("code", "table"):
            spans = sentence_spans(text, part.end - len(block.lstrip()), part.end)
        following = found[number + 1] if number + 1 < len(found) else None
        until = len(text) if following is None else following.begin
        nexts = [*(span[0] for span in spans[1:]), until]
        for index, (span, stop) in enumerate(zip(spans, nexts, strict=True)):
            gap = Gap.SENTENCE if index else Gap.ITEM if part.kind == "list" else Gap.BLOCK
            pieces.append(_Piece(*span, stop, number, gap))
    return pieces


def _cut(text: str, piece: _Piece, part: Part) -> list[_Piece]:
    """Cut a piece that is too large: a code block or table into its lines, anything else in two."""
    lines = [match.span() for match in _LINE.finditer(text, piece.start, piece.end)]
    if part.kind in ("code", "table") and len(lines) > 1:
        nexts = [*(start for start, _ in lines[1:]), piece.until]
        return [
            replace(piece, start=start, end=end, until=until, gap=Gap.LINE if index else piece.gap)
            for index, ((start, end), until) in enumerate(zip(lines, nexts, strict=True))
        ]
    middle = _middle(text, piece.start, piece.end)
    left, right = text[piece.start : middle].rstrip(), text[middle : piece.end].lstrip()
    begin = piece.end - len(right)
    return [
        replace(piece, end=piece.start + len(left), until=begin),
        replace(piece, start=begin, gap=Gap.WORD),
    ]


def _middle(text: str, start: int, end: int) -> int:
    """Return the blank that is nearest to the middle of a span, or its middle where there is none."""
    middle = (start + end) // 2
    left = max((match.start() for match in _BLANK.finditer(text, start + 1, middle)), default=None)
    right = _BLANK.search(text, middle, end - 1)
    candidates = [place for place in (left, right.start() if right else None) if place is not None]
    return min(candidates, key=lambda place: abs(place - middle), default=middle)


def _finish(
    text: str, found: list[Run], headings: list[tuple[Heading, ...]], sized: list[tuple[_Piece, int, int]]
) -> Iterator[Atom]:
    last: _Piece | None = None
    for piece, count, tokens in sized:
        run, gap = found[piece.run], piece.gap
        before: tuple[Heading, ...] = ()
        if last is None or last.run != piece.run:
            before = headings[piece.run]
            if last is None or before or found[last.run].path != run.path:
                gap = Gap.SECTION
            elif text[last.end - 1] in LEAD_IN_MARKS:
                gap = Gap.LEAD_IN
        yield Atom(piece.start, piece.end, run.path, before, gap, count, tokens)
        last = piece


def _measured_headings(text: str, found: list[Run], counter: Counter) -> list[tuple[Heading, ...]]:
    measured = []
    for run in found:
        starts = [heading.start for heading in run.headings]
        ends = [*starts[1:], run.part.start]
        texts = [text[start:end] for start, end in zip(starts, ends, strict=False)]
        sizes = zip(run.headings, texts, counter.pieces(texts), strict=True)
        measured.append(tuple(replace(heading, words=len(words(title)), tokens=n) for heading, title, n in sizes))
    return measured
