"""Decides which split a passage belongs to: families of documents stay together, so that nothing leaks.

Documents that share a near-duplicate chunk form a family (a connected component). A family that is larger than
`ingest.max_component_share`, be it a single document, is cut into parts at section borders. Families and parts are
the units of splitting. Units are sorted by a hash of their name and the seed, and divided by cumulative share of
chunks: first test, then dev; the rest is train. The order depends only on names and seed, so adding documents
moves only units near the two cuts. A split takes units as long as that brings it closer to its share; no split is
empty if there are at least three units (with two there is no dev split, with one only train).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.retrieval.beir import SPLITS
from embedtune.core.retrieval.union_find import Labels
from embedtune.ingest.families import Occurrences, families
from embedtune.ingest.sections import Flags, borders, parts

SEVERAL = "several"  # the split of a document that is in more than one


@dataclass(frozen=True)
class Units:
    """What is assigned to a split as a whole: families, and the parts of families that are too large.

    Args:
        of_chunks: The number of the unit of each chunk.
        names: The name of each unit: the smallest id of its documents; for a part of a family the id of the
            document that it begins in, and the position of its first chunk there.
        cut: The documents of each family that was cut into parts.
    """

    of_chunks: Labels
    names: Sequence[str]
    cut: Sequence[Labels] = ()

    @property
    def sizes(self) -> Labels:
        """Number of chunks of each unit."""
        return np.bincount(self.of_chunks, minlength=len(self.names))


@dataclass(frozen=True)
class Membership:
    """The result of splitting.

    Args:
        boilerplate: The groups that are found in too many documents.
        units: The units, and which of them each chunk belongs to.
        splits: The split of each chunk, as an index of `SPLITS`.
        border: Whether each chunk is next to a border between splits: no questions are asked about it.
    """

    boilerplate: Labels
    units: Units
    splits: Labels
    border: Flags


def membership(
    occurrences: Occurrences,
    doc_ids: Sequence[str],
    headings_of: Callable[[int], Sequence[str]],
    settings: IngestSettings,
    seed: int,
) -> Membership:
    """Return the unit and the split of each chunk.

    Args:
        occurrences: All chunks, by document.
        doc_ids: The id of each document.
        headings_of: Returns the headings above a chunk, by its number.
        settings: The shares, and the largest share of a family.
        seed: Determines the order of the units.
    """
    boilerplate = occurrences.boilerplate(settings.boilerplate_documents)
    units = make_units(occurrences, boilerplate, doc_ids, headings_of, settings.max_component_share)
    split_of = assign(units.sizes, units.names, settings, seed)
    splits = np.array([SPLITS.index(name) for name in split_of], dtype=np.int64)[units.of_chunks]
    if not units.cut:
        return Membership(boilerplate, units, splits, np.zeros(len(splits), dtype=bool))
    connecting = ~np.isin(occurrences.groups, boilerplate)
    border, splits = borders(occurrences.documents, occurrences.groups, connecting, splits)
    return Membership(boilerplate, units, splits, border)


def make_units(
    occurrences: Occurrences,
    boilerplate: Labels,
    doc_ids: Sequence[str],
    headings_of: Callable[[int], Sequence[str]],
    limit: float,
) -> Units:
    """Return the families, those with more than a share of all chunks cut into parts.

    Args:
        occurrences: All chunks, by document.
        boilerplate: The groups that do not connect documents.
        doc_ids: The id of each document.
        headings_of: Returns the headings above a chunk, by its number.
        limit: The largest share of the chunks that a family may have.
    """
    documents, groups = occurrences.documents, occurrences.groups
    family = families(occurrences, boilerplate, len(doc_ids))
    chunk_family = family[documents]
    # The unit of a chunk by the number of a chunk: the first of its family, or of its part of the family.
    first = np.full(len(doc_ids), len(documents), dtype=np.int64)
    np.minimum.at(first, chunk_family, np.arange(len(documents)))
    unit = first[chunk_family]
    smallest = [""] * len(doc_ids)
    for doc_id, name in sorted(zip(doc_ids, family.tolist(), strict=True), reverse=True):
        smallest[name] = doc_id
    named = {int(first[name]): smallest[name] for name in np.unique(family).tolist()}
    cut = []
    for name in np.flatnonzero(np.bincount(chunk_family) > limit * len(documents)).tolist():
        mine = np.flatnonzero(chunk_family == name)
        connecting = ~np.isin(groups[mine], boilerplate)
        headings = [tuple(headings_of(number)) for number in mine.tolist()]
        begins = mine[parts(documents[mine], groups[mine], connecting, headings)]
        if len(set(begins.tolist())) == 1:
            continue
        cut.append(np.flatnonzero(family == name))
        unit[mine] = begins
        for begin in set(begins.tolist()):
            position = begin - int(np.searchsorted(documents, documents[begin]))
            named[begin] = f"{doc_ids[documents[begin]]}:{position}"
    found, of_chunks = np.unique(unit, return_inverse=True)
    return Units(of_chunks, [named[number] for number in found.tolist()], cut)


def assign(sizes: Labels, names: Sequence[str], settings: IngestSettings, seed: int) -> list[str]:
    """Return the split of each unit.

    Args:
        sizes: The number of chunks of each unit.
        names: The name of each unit.
        settings: The shares.
        seed: Determines the order of the units.
    """
    order = sorted(range(len(names)), key=lambda unit: _rank(names[unit], seed))
    shares = [("test", settings.test_share), ("dev", settings.dev_share)][: len(order) - 1]
    splits = ["train"] * len(names)
    for number, (split, share) in enumerate(shares):
        spare = len(order) - (len(shares) - number)
        for unit in _take(order, sizes, share * int(sizes.sum()), spare) if share else []:
            order.remove(unit)
            splits[unit] = split
    return splits


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _take(order: list[int], sizes: Labels, target: float, spare: int) -> list[int]:
    """Return the first units that come closest to a size, at most `spare`; too large ones are skipped."""
    taken: list[int] = []
    total = 0
    for unit in order:
        size = int(sizes[unit])
        if total + size / 2 <= target:
            taken.append(unit)
            total += size
        elif taken:
            break
    return taken[:spare] or [min(order, key=lambda unit: int(sizes[unit]))]
