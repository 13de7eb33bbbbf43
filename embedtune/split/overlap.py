"""Exact comparison of many texts by shared shingles: the second opinion on what sketches found, or missed."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from embedtune.core.retrieval.shingles import Hashes, containment


def overlapping(left: Sequence[Hashes], right: Sequence[Hashes], share: float) -> Iterator[tuple[int, int]]:
    """Yield, in order, each (left, right) pair whose containment is at least `share`.

    Exact, and fast by the prefix filter (Chaudhuri et al. 2006): two sets that share s of the smaller one's n
    shingles also share one of its n - ⌈s·n⌉ + 1 rarest. As containment is never below Jaccard, the pairs of a
    Jaccard of at least `share` are among them.

    Args:
        left: Shingle sets.
        right: Shingle sets to compare them with.
        share: Above 0, at most 1.
    """
    ours, theirs = ([hashes.tolist() for hashes in side] for side in (left, right))
    rarity = Counter(shingle for side in (ours, theirs) for item in side for shingle in item)
    found = _probe(ours, theirs, share, rarity)
    found |= {(i, j) for j, i in _probe(theirs, ours, share, rarity)}
    yield from sorted(pair for pair in found if containment(left[pair[0]], right[pair[1]]) >= share)


def _probe(
    small: list[list[int]], large: list[list[int]], share: float, rarity: Counter[int]
) -> set[tuple[int, int]]:
    """Return candidates in which the `small` side is not the larger set."""
    holders: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(large):
        for shingle in item:
            holders[shingle].append(index)
    found = set()
    for index, item in enumerate(small):
        # Less a hair, so that rounding never makes the needed overlap too large.
        needed = max(1, math.ceil(share * len(item) - 1e-9))
        rarest = sorted(item, key=lambda shingle: (rarity[shingle], shingle))[: len(item) - needed + 1]
        found |= {
            (index, other)
            for shingle in rarest
            for other in holders.get(shingle, ())
            if len(large[other]) >= len(item)
        }
    return found
