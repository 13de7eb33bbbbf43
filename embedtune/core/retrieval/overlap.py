"""Compares many texts exactly by shared shingles, to find what the comparison of sketches may have missed."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from embedtune.core.retrieval.shingles import Hashes, containment, jaccard, shingles

QUERY_WORDS = 3  # in a shingle of a question
Numbers = npt.NDArray[np.int64]
SETS = 16_384  # compared at once with as many others
PAIRS = 1 << 22  # candidates in memory at once
BUCKETS = np.uint64(1 << 16)  # for counting how often shingles occur


def overlapping(left: Sequence[Hashes], right: Sequence[Hashes], share: float) -> Iterator[tuple[int, int]]:
    """Yield, in order, each (left, right) pair whose containment is at least `share`.

    Exact, and fast thanks to the prefix filter (Chaudhuri et al. 2006): if two sets share at least s·n of the n
    shingles of the smaller one, they also share one of its n - ⌈s·n⌉ + 1 rarest. Containment is never below
    Jaccard, so the result includes every pair whose Jaccard is at least `share`.

    Memory in addition to the sets: about 100 MB per million shingles in `SETS` sets, whatever their number.

    Args:
        left: Shingle sets, each sorted and unique.
        right: Shingle sets to compare them with.
        share: Above 0, at most 1.
    """
    rarity = _rarity(left) + _rarity(right)
    found = set(_probe(left, right, share, rarity))
    found |= {(i, j) for j, i in _probe(right, left, share, rarity)}
    yield from sorted(found)


def _rarity(sets: Sequence[Hashes]) -> Numbers:
    """Count the shingles of each bucket: the filter is exact in any order, and fast in nearly the rarest first."""
    counts = np.zeros(int(BUCKETS), dtype=np.int64)
    for start in range(0, len(sets), SETS):
        counts += np.bincount(_bucket(_flat(sets[start : start + SETS])[0]), minlength=len(counts))
    return counts


def _bucket(hashes: Hashes) -> Numbers:
    return (hashes % BUCKETS).astype(np.int64)


def _flat(sets: Sequence[Hashes]) -> tuple[Hashes, Numbers, Numbers]:
    """Return all shingles one after the other, the number of the set that each belongs to, and the sets' sizes."""
    sizes = np.array([len(one) for one in sets], dtype=np.int64)
    hashes = np.concatenate([*sets, np.empty(0, dtype=np.uint64)])
    return hashes, np.repeat(np.arange(len(sets)), sizes), sizes


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
    small: Sequence[Hashes], large: Sequence[Hashes], share: float, rarity: Numbers
) -> Iterator[tuple[int, int]]:
    """Yield the pairs in which the set of `small` is not the larger one."""
    for left in range(0, len(small), SETS):
        probes, owners, sizes = _prefixes(small[left : left + SETS], share, rarity)
        for right in range(0, len(large), SETS):
            keys, holders, held = _flat(large[right : right + SETS])
            order = np.argsort(keys, kind="stable")
            for i, j in _candidates(probes, owners, keys[order], holders[order]):
                enough = held[j] >= sizes[i]
                for pair in zip((i[enough] + left).tolist(), (j[enough] + right).tolist(), strict=True):
                    if containment(small[pair[0]], large[pair[1]]) >= share:
                        yield pair


def _prefixes(sets: Sequence[Hashes], share: float, rarity: Numbers) -> tuple[Hashes, Numbers, Numbers]:
    """Return the rarest shingles of each set, as many as are needed, with their owners, and the sets' sizes."""
    hashes, owners, sizes = _flat(sets)
    order = np.lexsort((hashes, rarity[_bucket(hashes)], owners))
    place = np.arange(len(hashes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Slightly less, so that rounding never makes the needed overlap too large.
    needed = np.maximum(1, np.ceil(share * sizes - 1e-9).astype(np.int64))
    kept = place < (sizes - needed + 1)[owners]
    return hashes[order][kept], owners[kept], sizes


def _candidates(
    probes: Hashes, owners: Numbers, keys: Hashes, holders: Numbers
) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the (owner, holder) pairs that share a probe: at most `PAIRS`, or those of one probe, at a time."""
    low = np.searchsorted(keys, probes)
    counts = np.searchsorted(keys, probes, side="right") - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(probes):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS, side="right")))
        part = slice(start, stop)
        i = np.repeat(owners[part], counts[part])
        begins = np.repeat(ends[part] - counts[part] - done, counts[part])
        j = holders[np.repeat(low[part], counts[part]) + np.arange(len(i)) - begins]
        pairs = np.unique(i * (int(holders.max(initial=0)) + 1) + j)
        yield np.divmod(pairs, int(holders.max(initial=0)) + 1)
        start = stop
