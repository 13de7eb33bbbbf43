"""Decides where to cut a document: divides its pieces into chunks at the lowest total cost.

    cost of a division = sum over its chunks of (size + headings) + sum over its cuts of CUT[gap]

    size      0 half-way between min_words and max_words, growing with the square of the distance to DEVIATION at
              either bound; below min_words TOO_SMALL and more, unless the chunk is full of tokens
    headings  SPAN for each heading that the chunk continues past, more if it is a high one; HEADING_LOST if the
              chunk began inside a section whose heading it then shows nowhere
    CUT       0 between sections, more inside them

A chunk of several pieces exceeds neither max_words nor max_tokens. With best[stop] for the lowest cost of dividing
the first `stop` pieces,

    best[stop] = min over first < stop of (best[first] + cost of the chunk pieces[first:stop] + CUT at stop)

`_candidates` extends the chunk that begins at a piece until it exceeds a bound, `divide` scores each of these, and
`_collect` reads the best division from its end. Costs are whole numbers and ties go to the earlier cut, so that
every machine makes the same chunks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from embedtune.ingest.pieces import Gap, Piece

CUT = {
    Gap.SECTION: 0,
    Gap.BLOCK: 10,
    Gap.ITEM: 20,
    Gap.SENTENCE: 30,
    Gap.LEAD_IN: 45,
    Gap.LINE: 60,
    Gap.WORD: 200,
}
TOO_SMALL = 1000  # a chunk below min_words, plus as much again in proportion to what it lacks
SPAN = 100  # a chunk that continues past a heading …
SPAN_HIGHER = 20  # … plus this for each level by which the heading is above the fourth …
HEADING_LOST = 60  # … plus this if it began inside a section whose heading it then shows nowhere
FULL = 90  # per cent of max_tokens: a chunk with as many tokens is not too small (code has few words)
DEVIATION = 60  # a chunk at either bound; closer to the middle the cost falls with the square of the distance
NEVER = 1 << 62


@dataclass(frozen=True)
class Bounds:
    """The bounds on the size of a chunk.

    Args:
        min_words: A chunk has fewer words only if there is no other way.
        max_words: A chunk of several pieces never has more words.
        max_tokens: It never has more tokens either, including its heading path.
        overhead: Returns the number of tokens of a passage that has a given heading path and no text.
    """

    min_words: int
    max_words: int
    max_tokens: int
    overhead: Callable[[tuple[str, ...]], int]

    def size_cost(self, words: int, tokens: int) -> int:
        """Return the cost of the size of a chunk.

        Args:
            words: Number of its words.
            tokens: Number of its tokens.
        """
        if words < self.min_words:
            if tokens * 100 >= FULL * self.max_tokens:
                return DEVIATION
            return TOO_SMALL + TOO_SMALL * (self.min_words - words) // self.min_words
        half = max(1, (self.max_words - self.min_words) // 2)
        distance = words - (self.max_words + self.min_words) // 2
        return DEVIATION * distance * distance // (half * half)


@dataclass(frozen=True)
class Slice:
    """A chunk as a span of the text, with its heading path."""

    path: tuple[str, ...]
    start: int
    end: int


def divide(pieces: Sequence[Piece], bounds: Bounds) -> list[Slice]:
    """Return the chunks of a document, in order, without overlap."""
    shared = [0] + [shared_headings(left.path, right.path) for left, right in pairwise(pieces)]
    best = [0] + [NEVER] * len(pieces)
    origins = [0] * (len(pieces) + 1)
    for first in range(len(pieces)):
        for stop, words, tokens, headings in _candidates(pieces, shared, first, bounds):
            cut = CUT[pieces[stop].gap] if stop < len(pieces) else 0
            cost = best[first] + bounds.size_cost(words, tokens) + headings + cut
            if cost < best[stop]:
                best[stop], origins[stop] = cost, first
    return _collect(pieces, shared, origins)


def _candidates(
    pieces: Sequence[Piece], shared: list[int], first: int, bounds: Bounds
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (stop, words, tokens, cost of headings) of every chunk that may begin at the piece `first`.

    Headings between the pieces are text of the chunk. So are those directly before its first piece that are below
    the headings which all pieces share; the shared ones are its heading path.

    Args:
        pieces: The pieces of the document.
        shared: How many headings each piece shares with the one before it.
        first: Index of the first piece.
        bounds: A chunk that exceeds them ends the search, unless it is a single piece.
    """
    begin = pieces[first]
    depth = len(begin.path)
    words = tokens = passed = lost = shown_words = 0
    path_tokens = bounds.overhead(begin.path)
    for number in range(first, len(pieces)):
        piece = pieces[number]
        if number > first:
            words += sum(heading.words for heading in piece.headings)
            tokens += sum(heading.tokens for heading in piece.headings)
            if piece.gap is Gap.SECTION:
                passed += SPAN + SPAN_HIGHER * max(0, 3 - shared[number])
            if shared[number] < depth:
                depth = shared[number]
                shown = [heading for heading in begin.headings if heading.depth >= depth]
                shown_words = sum(heading.words for heading in shown)
                path_tokens = bounds.overhead(begin.path[:depth]) + sum(heading.tokens for heading in shown)
                lost = HEADING_LOST if len(begin.path) - depth > len(shown) else 0
        words += piece.words
        tokens += piece.tokens
        all_words, all_tokens = words + shown_words, tokens + path_tokens
        if number > first and (all_words > bounds.max_words or all_tokens > bounds.max_tokens):
            break
        yield number + 1, all_words, all_tokens, passed + lost


def shared_headings(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Return how many headings two paths have in common: the fewer, the higher the border between them."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _collect(pieces: Sequence[Piece], shared: list[int], origins: list[int]) -> list[Slice]:
    """Return the chunks of the best division, given where the best last chunk of each beginning starts."""
    slices = []
    stop = len(pieces)
    while stop:
        first = origins[stop]
        slices.append(_slice(pieces[first:stop], min(shared[first + 1 : stop], default=NEVER)))
        stop = first
    return slices[::-1]


def _slice(pieces: Sequence[Piece], shared: int) -> Slice:
    first = pieces[0]
    path = first.path[:shared]
    starts = [heading.start for heading in first.headings if heading.depth >= len(path)]
    return Slice(path, min(starts, default=first.start), pieces[-1].end)
