"""Compares many texts exactly by shared shingles, to find what the comparison of sketches may have missed."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from embedtune.core.retrieval.shingles import Hashes, containment, jaccard, shingles

QUERY_WORDS = 3  # in a shingle of a question


def overlapping(left: Sequence[Hashes], right: Sequence[Hashes], share: float) -> Iterator[tuple[int, int]]:
    """Yield, in order, each (left, right) pair whose containment is at least `share`.

    Exact, and fast thanks to the prefix filter (Chaudhuri et al. 2006): if two sets share at least s·n of the n
    shingles of the smaller one, they also share one of its n - ⌈s·n⌉ + 1 rarest. Containment is never below
    Jaccard, so the result includes every pair whose Jaccard is at least `share`.

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


def repeated(left: Sequence[str], right: Sequence[str], limit: float) -> Iterator[tuple[int, int]]:
    """Yield, in order, each (left, right) pair of questions that are the same or nearly the same.

    Args:
        left: Questions.
        right: Questions to compare them with; may be the same list.
        limit: Jaccard of the word-3-grams at or above which two questions count as the same.
    """
    ours, theirs = ([shingles(text, QUERY_WORDS) for text in side] for side in (left, right))
    for i, j in overlapping(ours, theirs, limit):
        if jaccard(ours[i], theirs[j]) >= limit:
            yield i, j


def _probe(
    small: list[list[int]], large: list[list[int]], share: float, rarity: Counter[int]
) -> set[tuple[int, int]]:
    """Return the candidate pairs in which the set of `small` is not the larger one."""
    holders: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(large):
        for shingle in item:
            holders[shingle].append(index)
    found = set()
    for index, item in enumerate(small):
        # Slightly less, so that rounding never makes the needed overlap too large.
        needed = max(1, math.ceil(share * len(item) - 1e-9))
        rarest = sorted(item, key=lambda shingle: (rarity[shingle], shingle))[: len(item) - needed + 1]
        found |= {
            (index, other)
            for shingle in rarest
            for other in holders.get(shingle, ())
            if len(large[other]) >= len(item)
        }
    return found
