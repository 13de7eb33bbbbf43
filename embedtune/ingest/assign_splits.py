"""Decides which split a document belongs to: families of documents stay together, so that nothing leaks.

Documents that share a near-duplicate chunk form a family (a connected component). Families are sorted by a hash of
their smallest document id and the seed, and divided by cumulative share of chunks: first test, then dev; the rest
is train. The order depends only on names and seed, so adding documents moves only families near the two cuts. A
split takes families as long as that brings it closer to its share; no split is empty if there are at least three
families (with two there is no dev split, with one only train).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import GateError
from embedtune.core.retrieval.union_find import Labels, UnionFind

PAIRS_SHOWN = 5
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
        shared: Labels = np.unique(np.stack([self.groups, self.documents], axis=1), axis=0)
        return shared

    def boilerplate(self, limit: int) -> Labels:
        """Return the groups that are found in more than `limit` documents."""
        groups, counts = np.unique(self.shared()[:, 0], return_counts=True)
        return groups[counts > limit]


@dataclass(frozen=True)
class Membership:
    """The result of splitting.

    Args:
        boilerplate: The groups that are found in too many documents.
        family: The family of each document.
        splits: The split of each document.
    """

    boilerplate: Labels
    family: Labels
    splits: list[str]


def families(occurrences: Occurrences, boilerplate: Labels, documents: int) -> Labels:
    """Return the family of each document; near-duplicate chunks that are not boilerplate connect documents."""
    joined = UnionFind(documents)
    for left, right in _joins(occurrences, boilerplate):
        joined.union(left, right)
    return joined.labels()


def _joins(occurrences: Occurrences, boilerplate: Labels) -> list[tuple[int, int]]:
    """Return pairs of documents that share a group: for each group, its first document with every other."""
    shared = occurrences.shared()
    shared = shared[~np.isin(shared[:, 0], boilerplate)]
    if not len(shared):
        return []
    _, starts, inverse = np.unique(shared[:, 0], return_index=True, return_inverse=True)
    firsts = shared[starts[inverse], 1]
    later = firsts != shared[:, 1]
    return list(zip(firsts[later].tolist(), shared[later, 1].tolist(), strict=True))


def refuse_giant(
    occurrences: Occurrences,
    boilerplate: Labels,
    family: Labels,
    limit: float,
    paths: Sequence[str],
    text_of: Callable[[int], str],
) -> None:
    """Check that no family of several documents is too large a part of the corpus.

    Args:
        occurrences: All chunks.
        boilerplate: The groups that do not connect documents.
        family: The family of each document.
        limit: The largest share of the chunks that is allowed.
        paths: The path of each document.
        text_of: Returns the text of a chunk by its number.

    Raises:
        GateError: One is too large; the error names the pairs of documents that share the most, with an excerpt.
    """
    sizes = np.bincount(family[occurrences.documents], minlength=len(family))
    largest = int(sizes.argmax())
    share = float(sizes[largest]) / int(sizes.sum())
    members = int(np.count_nonzero(family == largest))
    if members == 1 or share <= limit:
        return
    pairs = Counter(pair for pair in _joins(occurrences, boilerplate) if family[pair[0]] == largest)
    lines = []
    for (left, right), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:PAIRS_SHOWN]:
        shared = np.intersect1d(_groups_of(occurrences, left), _groups_of(occurrences, right))
        shared = np.setdiff1d(shared, boilerplate)
        in_right = (occurrences.documents == right) & np.isin(occurrences.groups, shared)
        excerpt = " ".join(text_of(int(np.flatnonzero(in_right)[0])).split())[:EXCERPT]
        lines.append(f"    {paths[left]} and {paths[right]} share {count} passages, such as: {excerpt} …")
    raise GateError(
        f"{members} documents connected by near-duplicate passages make up {share:.0%} of the corpus, too much to "
        "keep in one split; they are connected by\n" + "\n".join(lines),
        expected=f"at most {limit:.0%} (ingest.max_component_share)",
        fix="remove copies and old versions of documents, or raise ingest.max_component_share",
    )


def _groups_of(occurrences: Occurrences, document: int) -> Labels:
    groups: Labels = occurrences.groups[occurrences.documents == document]
    return groups


def assign(
    family: Labels, chunks: Labels, doc_ids: Sequence[str], settings: IngestSettings, seed: int
) -> list[str]:
    """Return the split of each document.

    Args:
        family: The family of each document.
        chunks: The number of chunks of each document.
        doc_ids: The id of each document.
        settings: The shares.
        seed: Determines the order of the families.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for document, name in enumerate(family.tolist()):
        members[name].append(document)
    sizes = {name: int(chunks[documents].sum()) for name, documents in members.items()}
    order = sorted(members, key=lambda name: _rank(min(doc_ids[document] for document in members[name]), seed))
    shares = [("test", settings.test_share), ("dev", settings.dev_share)][: len(order) - 1]
    splits = ["train"] * len(doc_ids)
    for number, (split, share) in enumerate(shares):
        spare = len(order) - (len(shares) - number)
        for name in _take(order, sizes, share * sum(sizes.values()), spare) if share else []:
            order.remove(name)
            for document in members[name]:
                splits[document] = split
    return splits


def _rank(doc_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{doc_id}".encode()).hexdigest()


def _take(order: list[int], sizes: dict[int, int], target: float, spare: int) -> list[int]:
    """Return the first families that come closest to a size, at most `spare`; too large ones are skipped."""
    taken: list[int] = []
    total = 0
    for name in order:
        if total + sizes[name] / 2 <= target:
            taken.append(name)
            total += sizes[name]
        elif taken:
            break
    return taken[:spare] or [min(order, key=lambda name: sizes[name])]
