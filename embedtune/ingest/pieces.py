"""The pieces that chunks are made of: sentences, list items, code blocks and tables, cut only if too large."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from embedtune.core.retrieval.shingles import words
from embedtune.ingest.blocks import Extract, Part
from embedtune.ingest.sentences import sentence_spans
from embedtune.ingest.tokens import Counter

_LINE = re.compile(r"\S[^\n]*")  # a line without its indentation
LEAD_IN_MARKS = ":\uff1a"  # a colon, or the full-width one
_BLANK = re.compile(r"\s")


class Gap(IntEnum):
    """The kind of gap before a piece; the later in this list, the worse a cut there is."""

    SECTION = 0
    BLOCK = 1
    ITEM = 2
    SENTENCE = 3
    LEAD_IN = 4  # after "as follows:"
    LINE = 5  # inside a code block or table
    WORD = 6  # inside a sentence or line


@dataclass(frozen=True)
class Heading:
    """A heading directly before a piece.

    Args:
        start: Position of its first character in the text.
        depth: Its index in the heading path, from 0.
        words: Number of its words.
        tokens: Number of its tokens.
    """

    start: int
    depth: int
    words: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Piece:
    """A piece of a document that is not cut any further.

    Args:
        start: Position of its first character in the text.
        end: Position after its last character.
        path: The headings above it, outermost first.
        headings: Those of them that are directly before it.
        gap: What comes before it.
        words: Number of its words.
        tokens: Number of its tokens, including those of the white space before the next piece.
    """

    start: int
    end: int
    path: tuple[str, ...]
    headings: tuple[Heading, ...]
    gap: Gap
    words: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class PieceLimits:
    """The greatest size of a piece: a chunk must be able to contain it.

    Args:
        words: Words per chunk.
        tokens: Tokens that a chunk has left for its text, by heading path.
    """

    words: int
    tokens: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True)
class TextBlock:
    """A block of text, with the headings above it and directly before it."""

    part: Part
    path: tuple[str, ...]
    headings: tuple[Heading, ...]

    @property
    def begin(self) -> int:
        """Position of its first character, or of the first heading directly before it."""
        return self.headings[0].start if self.headings else self.part.start


def text_blocks(extract: Extract) -> list[TextBlock]:
    """Return the text blocks of a document with their headings. A heading without text below it counts as text."""
    found: list[TextBlock] = []
    stack: list[tuple[int, str]] = []
    pending: list[Part] = []
    for part in extract.parts:
        if part.kind != "heading":
            found.append(_text_block(part, stack, pending))
            pending = []
            continue
        if pending and pending[-1].level >= part.level:
            empty = pending.pop()
            stack.pop()
            found.append(_text_block(empty, stack, pending))
            pending = []
        while stack and stack[-1][0] >= part.level:
            stack.pop()
        stack.append((part.level, extract.text[part.start : part.end]))
        pending.append(part)
    if pending:
        stack.pop()
        found.append(_text_block(pending[-1], stack, pending[:-1]))
    return found


def _text_block(part: Part, stack: list[tuple[int, str]], pending: list[Part]) -> TextBlock:
    first = len(stack) - len(pending)
    headings = tuple(Heading(heading.start, first + number) for number, heading in enumerate(pending))
    return TextBlock(part, tuple(title for _, title in stack), headings)


@dataclass(frozen=True)
class _Span:
    """A span of text that becomes a piece once it is small enough.

    Args:
        start: Position of its first character.
        end: Position after its last character.
        until: Position where the next span begins, or the headings before it.
        block: Index of its text block.
        gap: What comes before it.
    """

    start: int
    end: int
    until: int
    block: int
    gap: Gap


def make_pieces(extract: Extract, blocks: list[TextBlock], limits: PieceLimits, counter: Counter) -> list[Piece]:
    """Cut a document into pieces that fit into a chunk.

    Sentences, list items, code blocks and tables stay whole if they fit. A code block or table that does not fit
    is cut at its line ends; a sentence or line that does not fit is cut at a blank near its middle, repeatedly.

    Args:
        extract: The document.
        blocks: Its text blocks.
        limits: The greatest size of a piece, for the heading path of each block.
        counter: The tokenizer.
    """
    text = extract.text
    spans = _first_cut(text, blocks)
    sizes: dict[_Span, tuple[int, int]] = {}
    while unmeasured := [span for span in spans if span not in sizes]:
        tokens = counter.pieces([text[span.start : span.until] for span in unmeasured])
        for span, count in zip(unmeasured, tokens, strict=True):
            sizes[span] = (len(words(text[span.start : span.end])), count)
        spans = [
            smaller
            for span in spans
            for smaller in (
                [span] if _fits(span, sizes[span], blocks, limits) else _cut(text, span, blocks[span.block].part)
            )
        ]
    headings = _measured_headings(text, blocks, counter)
    return list(_pieces(text, blocks, headings, [(span, *sizes[span]) for span in spans]))


def _fits(span: _Span, size: tuple[int, int], blocks: list[TextBlock], limits: PieceLimits) -> bool:
    count, tokens = size
    small = count <= limits.words and tokens <= limits.tokens[blocks[span.block].path]
    return small or span.end - span.start == 1


def _first_cut(text: str, blocks: list[TextBlock]) -> list[_Span]:
    """Cut paragraphs and list items into sentences; leave code blocks and tables whole."""
    found: list[_Span] = []
    for number, block in enumerate(blocks):
        part = block.part
        content = text[part.start : part.end]
        spans = [(part.start, part.end)]
        if part.kind not in ("code", "table"):
            spans = sentence_spans(text, part.end - len(content.lstrip()), part.end)
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        until = len(text) if following is None else following.begin
        nexts = [*(span[0] for span in spans[1:]), until]
        for index, (span, stop) in enumerate(zip(spans, nexts, strict=True)):
            gap = Gap.SENTENCE if index else Gap.ITEM if part.kind == "list" else Gap.BLOCK
            found.append(_Span(*span, stop, number, gap))
    return found


def _cut(text: str, span: _Span, part: Part) -> list[_Span]:
    """Cut a span that is too large: a code block or table into its lines, anything else in two."""
    lines = [match.span() for match in _LINE.finditer(text, span.start, span.end)]
    if part.kind in ("code", "table") and len(lines) > 1:
        nexts = [*(start for start, _ in lines[1:]), span.until]
        return [
            replace(span, start=start, end=end, until=until, gap=Gap.LINE if index else span.gap)
            for index, ((start, end), until) in enumerate(zip(lines, nexts, strict=True))
        ]
    middle = _middle(text, span.start, span.end)
    left, right = text[span.start : middle].rstrip(), text[middle : span.end].lstrip()
    begin = span.end - len(right)
    return [
        replace(span, end=span.start + len(left), until=begin),
        replace(span, start=begin, gap=Gap.WORD),
    ]


def _middle(text: str, start: int, end: int) -> int:
    """Return the position of the blank nearest to the middle, or the middle itself if there is no blank."""
    middle = (start + end) // 2
    left = max((match.start() for match in _BLANK.finditer(text, start + 1, middle)), default=None)
    right = _BLANK.search(text, middle, end - 1)
    candidates = [place for place in (left, right.start() if right else None) if place is not None]
    return min(candidates, key=lambda place: abs(place - middle), default=middle)


def _pieces(
    text: str, blocks: list[TextBlock], headings: list[tuple[Heading, ...]], sized: list[tuple[_Span, int, int]]
) -> Iterator[Piece]:
    """Yield the finished pieces: spans with their headings, sizes and the gap before them."""
    last: _Span | None = None
    for span, count, tokens in sized:
        block, gap = blocks[span.block], span.gap
        before: tuple[Heading, ...] = ()
        if last is None or last.block != span.block:
            before = headings[span.block]
            if last is None or before or blocks[last.block].path != block.path:
                gap = Gap.SECTION
            elif text[last.end - 1] in LEAD_IN_MARKS:
                gap = Gap.LEAD_IN
        yield Piece(span.start, span.end, block.path, before, gap, count, tokens)
        last = span


def _measured_headings(text: str, blocks: list[TextBlock], counter: Counter) -> list[tuple[Heading, ...]]:
    measured = []
    for block in blocks:
        starts = [heading.start for heading in block.headings]
        ends = [*starts[1:], block.part.start]
        titles = [text[start:end] for start, end in zip(starts, ends, strict=False)]
        sizes = zip(block.headings, titles, counter.pieces(titles), strict=True)
        measured.append(tuple(replace(heading, words=len(words(title)), tokens=n) for heading, title, n in sizes))
    return measured
