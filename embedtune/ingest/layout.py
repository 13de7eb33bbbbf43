"""Where to cut a document: the division of its atoms into chunks that has the least total cost.

Dynamic programming looks at every division. Bounds come first: no chunk exceeds the words or tokens, and one
below `min_words` costs more than any cut. Then structure: cuts between sections are free, others cost; one that
goes on over a heading costs, the more the higher the heading stands. Then balance: the distance from the middle
size costs as its square. Costs are whole numbers and ties go to the earlier cut, so that every machine
makes the same chunks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from embedtune.ingest.atoms import Atom, Gap

CUT = {
    Gap.SECTION: 0,
    Gap.BLOCK: 10,
    Gap.ITEM: 20,
    Gap.SENTENCE: 30,
    Gap.LEAD_IN: 45,
    Gap.LINE: 60,
    Gap.WORD: 200,
}
TOO_SMALL = 1000  # a chunk below min_words, and as much again in proportion to what it lacks
SPAN = 100  # a chunk that goes on over a heading …
SPAN_HIGHER = 20  # … and this for each level that the heading stands above the fourth …
HEADING_LOST = 60  # … and this if it began inside a section, whose heading it then shows nowhere
FULL = 90  # per cent of the tokens: a chunk that holds them is not too small (code has few words)
DEVIATION = 60  # a chunk at either bound; nearer to the middle it falls with the square
NEVER = 1 << 62


@dataclass(frozen=True)
class Bounds:
    """What a chunk may hold.

    Args:
        min_words: Fewer only if there is no other way.
        max_words: Never more.
        max_tokens: Never more, heading path included.
        overhead: Tokens of a passage that has a heading path and no text.
    """

    min_words: int
    max_words: int
    max_tokens: int
    overhead: Callable[[tuple[str, ...]], int]

    def size_cost(self, words: int, tokens: int) -> int:
        """Return the cost of a chunk of so many words and tokens."""
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


def divide(atoms: Sequence[Atom], bounds: Bounds) -> list[Slice]:
    """Return the chunks of a document, in order, without overlap."""
    shared = [0] + [_shared(left.path, right.path) for left, right in pairwise(atoms)]
    costs = [0] + [NEVER] * len(atoms)
    origins = [0] * (len(atoms) + 1)
    for first in range(len(atoms)):
        for stop, cost in _openings(atoms, shared, first, bounds):
            after = CUT[atoms[stop].gap] if stop < len(atoms) else 0
            if costs[first] + cost + after < costs[stop]:
                costs[stop] = costs[first] + cost + after
                origins[stop] = first
    slices = []
    stop = len(atoms)
    while stop:
        slices.append(_slice(atoms[origins[stop] : stop], min(shared[origins[stop] + 1 : stop], default=NEVER)))
        stop = origins[stop]
    return slices[::-1]


def _openings(atoms: Sequence[Atom], shared: list[int], first: int, bounds: Bounds) -> list[tuple[int, int]]:
    """Return (stop, cost) of every chunk that may begin at the atom `first`."""
    begin = atoms[first]
    found: list[tuple[int, int]] = []
    depth = len(begin.path)
    words = tokens = spans = lost = head_words = 0
    head_tokens = bounds.overhead(begin.path)
    for number in range(first, len(atoms)):
        atom = atoms[number]
        if number > first:
            for heading in atom.headings:
                words += heading.words
                tokens += heading.tokens
            if atom.gap is Gap.SECTION:
                spans += SPAN + SPAN_HIGHER * max(0, 3 - shared[number])
            if shared[number] < depth:
                depth = shared[number]
                shown = [heading for heading in begin.headings if heading.depth >= depth]
                head_words = sum(heading.words for heading in shown)
                head_tokens = bounds.overhead(begin.path[:depth]) + sum(heading.tokens for heading in shown)
                lost = HEADING_LOST if len(begin.path) - depth > len(shown) else 0
        words += atom.words
        tokens += atom.tokens
        size = words + head_words, tokens + head_tokens
        if number > first and (size[0] > bounds.max_words or size[1] > bounds.max_tokens):
            break
        found.append((number + 1, bounds.size_cost(*size) + spans + lost))
    return found


def _shared(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Return how many headings two paths have in common."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _slice(atoms: Sequence[Atom], shared: int) -> Slice:
    first = atoms[0]
    path = first.path[:shared]
    starts = [heading.start for heading in first.headings if heading.depth >= len(path)]
    return Slice(path, min(starts, default=first.start), atoms[-1].end)
