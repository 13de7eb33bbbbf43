"""Families: documents connected by near-duplicate passages, which stay together so that nothing leaks."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedtune.core.retrieval.union_find import Labels, UnionFind

PAIRS_SHOWN = 3
EXCERPT = 160  # characters


@dataclass(frozen=True)
class Occurrences:
    """Every chunk of the corpus as numbers, shape (n,).

    Args:
        documents: The number of each chunk's document, in the order of paths.
        groups: The cluster of near-duplicates of each chunk.
    """

    documents: Labels
    groups: Labels

    def shared(self) -> Labels:
        """Return each pair (group, document) once, sorted by group, shape (m, 2)."""
        return distinct_pairs(self.groups, self.documents)

    def boilerplate(self, limit: int) -> Labels:
        """Return the groups that are found in more than `limit` documents."""
        groups, counts = np.unique(self.shared()[:, 0], return_counts=True)
        return groups[counts > limit]


def distinct_pairs(groups: Labels, owners: Labels) -> Labels:
    """Return each pair (group, owner) once, sorted by group, shape (m, 2)."""
    pairs: Labels = np.unique(np.stack([groups, owners], axis=1), axis=0)
    return pairs


def joins(pairs: Labels) -> list[tuple[int, int]]:
    """Return pairs of owners that share a group: for each group, its first owner with every other.

    Args:
        pairs: Each pair (group, owner) once, sorted.
    """
    if not len(pairs):
        return []
    _, starts, inverse = np.unique(pairs[:, 0], return_index=True, return_inverse=True)
    firsts = pairs[starts[inverse], 1]
    later = firsts != pairs[:, 1]
    return list(zip(firsts[later].tolist(), pairs[later, 1].tolist(), strict=True))


def families(occurrences: Occurrences, boilerplate: Labels, documents: int) -> Labels:
    """Return the family of each document; near-duplicate chunks that are not boilerplate connect documents."""
    joined = UnionFind(documents)
    for left, right in joins(_without(occurrences.shared(), boilerplate)):
        joined.union(left, right)
    return joined.labels()


def connections(
    occurrences: Occurrences,
    boilerplate: Labels,
    members: Labels,
    paths: Sequence[str],
    text_of: Callable[[int], str],
) -> list[str]:
    """Say which documents of a family share the most, with an excerpt of what they share.

    Args:
        occurrences: All chunks.
        boilerplate: The groups that do not connect documents.
        members: The documents of the family.
        paths: The path of each document.
        text_of: Returns the text of a chunk by its number.
    """
    shared = _without(occurrences.shared(), boilerplate)
    pairs = Counter(joins(shared[np.isin(shared[:, 1], members)]))
    lines = []
    for (left, right), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:PAIRS_SHOWN]:
        both = np.intersect1d(_groups_of(shared, left), _groups_of(shared, right))
        in_right = (occurrences.documents == right) & np.isin(occurrences.groups, both)
        excerpt = " ".join(text_of(int(np.flatnonzero(in_right)[0])).split())[:EXCERPT]
        lines.append(f"{paths[left]} and {paths[right]} share {count} passages, such as: {excerpt} …")
    return lines


def _without(pairs: Labels, boilerplate: Labels) -> Labels:
    kept: Labels = pairs[~np.isin(pairs[:, 0], boilerplate)]
    return kept


def _groups_of(shared: Labels, document: int) -> Labels:
    groups: Labels = shared[shared[:, 1] == document, 0]
    return groups
