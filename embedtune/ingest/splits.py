"""Which split a document belongs to: whole families of documents, so that nothing leaks.

Documents that share a near-duplicate chunk form a family (a connected component) and stay together. Families are
put in the order of a hash of their smallest document id and the seed, and cut by cumulative share of chunks: first
test, then dev, the rest is train. The order depends on nothing but names and seed, so adding documents moves only
families near the two cuts. A split takes families while that brings it nearer to its share; it never stays empty
where there are three families or more (with two there is no dev, with one only train).
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
        documents: The document of each chunk, numbered by path.
        groups: Its cluster of near-duplicates.
    """

    documents: Labels
    groups: Labels

    def shared(self) -> Labels:
        """Return each (group, document) once, by group, shape (m, 2)."""
        shared: Labels = np.unique(np.stack([self.groups, self.documents], axis=1), axis=0)
        return shared

    def boilerplate(self, limit: int) -> Labels:
        """Return the groups that stand in more than `limit` documents."""
        groups, counts = np.unique(self.shared()[:, 0], return_counts=True)
        return groups[counts > limit]


@dataclass(frozen=True)
class Membership:
    """Where everything belongs.

    Args:
        boilerplate: Groups that stand in too many documents.
        family: The family of each document.
        splits: Its split.
    """

    boilerplate: Labels
    family: Labels
    splits: list[str]


def families(occurrences: Occurrences, boilerplate: Labels, documents: int) -> Labels:
    """Return the family of each document: joined by chunks that are near-duplicates and not boilerplate."""
    joined = UnionFind(documents)
    for left, right in _joins(occurrences, boilerplate):
        joined.union(left, right)
    return joined.labels()


def _joins(occurrences: Occurrences, boilerplate: Labels) -> list[tuple[int, int]]:
    """Return pairs of documents, one for each group that they share, each document with the group's first."""
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
    """Stop if one family of several documents holds too much of the corpus to be split off.

    Args:
        occurrences: All chunks.
        boilerplate: Groups that join nothing.
        family: The family of each document.
        limit: Largest share of the chunks.
        paths: The path of each document.
        text_of: Reads a chunk by its number.

    Raises:
        GateError: It does; the error names the pairs of documents that share most, with an excerpt.
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
        lines.append(f"    {paths[left]} and {paths[right]} share {count} passages, such as: {excerpt} ...")
    raise GateError(
        f"{members} documents that share near-duplicate passages hold {share:.0%} of the corpus, too much for a "
        "split unit; they are joined by\n" + "\n".join(lines),
        expected=f"at most {limit:.0%} (ingest.max_component_share)",
        fix="leave out copies and old versions of documents, or raise ingest.max_component_share",
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
        chunks: How many chunks each document has.
        doc_ids: The id of each document.
        settings: The shares.
        seed: Another seed, another order.
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
    """Return the first families that come nearest to a size, at most `spare`; too large ones are passed over."""
    taken: list[int] = []
    total = 0
    for name in order:
        if total + sizes[name] / 2 <= target:
            taken.append(name)
            total += sizes[name]
        elif taken:
            break
    return taken[:spare] or [min(order, key=lambda name: sizes[name])]
