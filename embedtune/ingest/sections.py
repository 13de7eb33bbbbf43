"""Cuts a family that is too large for one split into parts, at section borders.

Each document becomes runs of about the same length; a run begins at the highest heading near its ideal beginning.
Runs that share near-duplicates are joined, those that share the most first, as long as the part stays small
enough: sections of two versions of a manual stay together, but a chain of joins does not melt everything into one
part again. Near-duplicates that are still on both sides of a border between splits are left to `borders`.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from embedtune.core.retrieval.union_find import Labels, UnionFind
from embedtune.ingest.families import distinct_pairs, joins
from embedtune.ingest.layout import shared_headings

SHORTEST = 8  # passages in a run: it may lose one at each end
RUNS = 20  # a family is cut into, if that leaves them long enough: half of the default share of dev, if it is all
JOINED = 4  # a part has at most as many passages as this many runs: a passage is in at most 3 documents
WINDOW = 6  # a run begins at most this part of its length before or after its ideal beginning


Flags = npt.NDArray[np.bool_]


def parts(documents: Labels, groups: Labels, connecting: Flags, headings: Sequence[tuple[str, ...]]) -> Labels:
    """Return the part of each chunk of a family, named by the position of its first chunk; one if it is too short.

    Args:
        documents: The document of each chunk, ascending; shape (n,).
        groups: The cluster of near-duplicates of each chunk.
        connecting: Whether the near-duplicates of each chunk must stay together with it: false for boilerplate.
        headings: The headings above each chunk.
    """
    length = max(SHORTEST, -(-len(documents) // RUNS))
    edges = [0, *(np.flatnonzero(np.diff(documents)) + 1).tolist(), len(documents)]
    starts = [start for first, stop in pairwise(edges) for start in _run_starts(first, stop, length, headings)]
    sizes = np.diff([*starts, len(documents)])
    run_of = np.repeat(np.arange(len(starts)), sizes)
    joined = _joined(run_of, groups, connecting, sizes, JOINED * length)
    return np.array(starts, dtype=np.int64)[joined[run_of]]


def _run_starts(first: int, stop: int, length: int, headings: Sequence[tuple[str, ...]]) -> list[int]:
    """Return where the runs of a document begin, its first chunk included.

    Args:
        first: Its first chunk.
        stop: The chunk after its last.
        length: The usual length of a run.
        headings: The headings above each chunk of the family.
    """
    count = max(1, (stop - first) // length)
    reach = length // WINDOW
    starts = [first]
    for number in range(1, count):
        ideal = first + number * (stop - first) // count
        near = range(max(ideal - reach, starts[-1] + 1), min(ideal + reach, stop - 1) + 1)
        starts.append(min((shared_headings(headings[n - 1], headings[n]), abs(n - ideal), n) for n in near)[-1])
    return starts


def _joined(run_of: Labels, groups: Labels, connecting: Flags, sizes: Labels, largest: int) -> Labels:
    """Return the part of each run: the smallest of the runs that are joined."""
    pairs = distinct_pairs(groups[connecting], run_of[connecting])
    found = UnionFind(len(sizes))
    total = sizes.copy()
    for (left, right), _ in sorted(Counter(joins(pairs)).items(), key=lambda item: (-item[1], item[0])):
        a, b = sorted((found.find(left), found.find(right)))
        if a != b and total[a] + total[b] <= largest:
            found.union(a, b)
            total[a] += total[b]
    return found.labels()


def borders(documents: Labels, groups: Labels, connecting: Flags, splits: Labels) -> tuple[Flags, Labels]:
    """Find the passages next to a border between splits, so that no question is asked about them.

    They are the last passage before and the first after a border inside a document, and near-duplicates of a
    passage whose other near-duplicates are in another split: the most of them stay. A passage that is left out
    never stays in train, where it would be mined as a negative.

    Args:
        documents: The document of each chunk, ascending; shape (n,).
        groups: The cluster of near-duplicates of each chunk.
        connecting: Whether the chunk counts as a near-duplicate: false for boilerplate.
        splits: The split of each chunk: 0 for train, higher for those that are held out.

    Returns:
        Whether each chunk is next to a border, and its split.
    """
    home = splits.copy()
    names, numbers = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), int(splits.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(counts, (numbers[connecting], splits[connecting]), 1)
    most = counts.argmax(axis=1)
    home[connecting] = most[numbers[connecting]]
    left_out = home != splits
    moved = np.maximum(splits, home)
    inside = (documents[1:] == documents[:-1]) & (splits[1:] != splits[:-1])
    before = np.flatnonzero(inside)
    higher = np.maximum(splits[before], splits[before + 1])
    for side in (before, before + 1):
        left_out[side] = True
        np.maximum.at(moved, side, higher)
    return left_out, moved
