"""Near-duplicate texts: texts that share most of their shingles.

With A and B for the sets of word-5-grams of two texts, and common = |A ∩ B|, they are near-duplicates if

    common >= containment · min(|A|, |B|)  or  common >= jaccard · (|A| + |B| - common)

The second condition implies a containment of 2·jaccard / (1 + jaccard), so every such pair has at least

    least = min(containment, 2·jaccard / (1 + jaccard))

The sketch of a text is its 32 smallest shingle hashes: a random sample of its shingles, chosen by the same rule.
B is a candidate for A if A contains enough of the h hashes in the sketch of B:

    needed = h·least - 5·sqrt(h·least·(1 - least)), or h·least if the sketch of B is all of B

An index of the sketches finds the candidates (`_Index`), the full sets decide (`Thresholds.accept`), and chains of
near-duplicates are collected into clusters (`group`).

Why not the banded tables of a MinHash LSH library? They find pairs by Jaccard similarity alone, which is low for a
short text inside a long one. And the 32 tables that find 99.9 % of the pairs at 0.7 take 3 kB per text (measured
with rensa 0.5); a sketch and its index take 400 bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.shingles import Hashes, overlap, shingles
from embedtune.core.retrieval.union_find import Labels, UnionFind

SKETCH = 32  # hashes kept per text
POSTING = 64  # texts indexed per sampled shingle; a phrase that more texts share is not distinctive
BATCH = 256  # texts compared at once
BLOCK = 1 << 20  # keys processed at once
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Thresholds:
    """The thresholds above which two texts are near-duplicates; reaching either is enough."""

    jaccard: float
    containment: float

    @property
    def least(self) -> float:
        """The containment that every pair of near-duplicates has at least."""
        return min(self.containment, 2 * self.jaccard / (1 + self.jaccard))

    def accept(self, a: Hashes, b: Hashes) -> bool:
        """Return whether two texts are near-duplicates."""
        common = overlap(a, b)
        if not common:
            return False
        return (
            common >= self.containment * min(len(a), len(b)) - 1e-9
            or common >= self.jaccard * (len(a) + len(b) - common) - 1e-9
        )


@dataclass
class Sketches:
    """The sketches of many texts, in 132 bytes each."""

    _blocks: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)

    def add(self, found: Hashes) -> None:
        """Add the sketch of the next text, given its shingles."""
        number = len(self._sizes) % BATCH
        if number == 0:
            self._blocks.append(np.zeros((BATCH, SKETCH), dtype=np.uint32))
        sample = _short(found[:SKETCH])
        self._blocks[-1][number, : len(sample)] = sample
        self._sizes.append(min(len(found), SKETCH + 1))

    def __len__(self) -> int:
        return len(self._sizes)

    def index(self, rows: Labels, thresholds: Thresholds) -> "_Index":
        """Return the inverted index of the sketches of some texts.

        Args:
            rows: Numbers of the texts, ascending; the index counts them from 0.
            thresholds: Determine how many of the shingles in a candidate's sketch must be found.
        """
        sizes = np.array(self._sizes, dtype=np.int64)[rows]
        kept = np.minimum(sizes, SKETCH)
        keys = np.empty(int(kept.sum()), dtype=np.uint64)
        end = 0
        for owner, (row, size) in enumerate(zip(rows.tolist(), kept.tolist(), strict=True)):
            sample = self._blocks[row // BATCH][row % BATCH, :size]
            keys[end : end + size] = (sample.astype(np.uint64) << _HALF) | np.uint64(owner)
            end += size
        keys.sort()
        return _Index(_without_common(keys), sizes, thresholds.least)


class _Index:
    """The texts that have a shingle in their sketch: sorted keys, 32 bits shingle hash and 32 bits text."""

    def __init__(self, keys: Hashes, sizes: Labels, least: float) -> None:
        self._keys = keys
        held = np.zeros(len(sizes), dtype=np.int64)
        for start in range(0, len(keys), BLOCK):
            block = (keys[start : start + BLOCK] & _LOW).astype(np.int64)
            held += np.bincount(block, minlength=len(sizes))
        # Of a complete set, the share `least` must be found. Of a sample, it is found on average: allowing five
        # standard deviations less loses one in a hundred thousand of the pairs that are just above the threshold.
        expected = held * least
        sampled = np.floor(expected - 5 * np.sqrt(expected * (1 - least)))
        whole = np.ceil(expected - 1e-9)
        self._needed = np.maximum(1, np.where(held == sizes, whole, sampled))

    def candidates(self, found: Sequence[Hashes], first: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs (text, other text) that may be near-duplicates.

        Args:
            found: The shingles of consecutive texts.
            first: The number of the first of these texts.
        """
        lengths = np.array([len(one) for one in found])
        queries = _short(np.concatenate(found)).astype(np.uint64) << _HALF
        low = np.searchsorted(self._keys, queries)
        counts = np.searchsorted(self._keys, queries | _LOW, side="right") - low
        texts = np.repeat(np.repeat(np.arange(len(found)), lengths), counts)
        places = np.arange(len(texts)) + np.repeat(low - (np.cumsum(counts) - counts), counts)
        owners = (self._keys[places] & _LOW).astype(np.int64)
        pairs, hits = np.unique(texts * len(self._needed) + owners, return_counts=True)
        texts, owners = np.divmod(pairs, len(self._needed))
        chosen = (hits >= self._needed[owners]) & (owners != texts + first)
        yield from zip((texts[chosen] + first).tolist(), owners[chosen].tolist(), strict=True)


def _short(hashes: Hashes) -> npt.NDArray[np.uint32]:
    return (hashes >> _HALF).astype(np.uint32)


def _without_common(keys: Hashes) -> Hashes:
    """Keep only the first `POSTING` texts of each shingle; the texts of a large cluster still share those."""
    kept = np.ones(len(keys), dtype=bool)
    for start in range(POSTING, len(keys), BLOCK):
        block = keys[start : start + BLOCK]
        kept[start : start + BLOCK] = block >> _HALF != keys[start - POSTING :][: len(block)] >> _HALF
    return keys if kept.all() else keys[kept]


def group(
    sketches: Sketches,
    rows: Labels,
    text_of: Callable[[int], str],
    thresholds: Thresholds,
    advance: Callable[[int], None],
) -> Labels:
    """Return the cluster of each text in `rows`: chains of near-duplicates, named by the position of the first.

    Args:
        sketches: The sketches of all texts.
        rows: Numbers of the texts to compare, ascending.
        text_of: Returns a text by its number; called several times per text.
        thresholds: When two texts are near-duplicates.
        advance: Called once per batch with the number of texts in it.
    """
    clusters = UnionFind(len(rows))
    index = sketches.index(rows, thresholds)
    for first in range(0, len(rows), BATCH):
        found = [shingles(text_of(row)) for row in rows[first : first + BATCH].tolist()]
        for text, other in index.candidates(found, first):
            if clusters.find(text) == clusters.find(other):
                continue
            if thresholds.accept(found[text - first], shingles(text_of(int(rows[other])))):
                clusters.union(text, other)
        advance(len(found))
    return clusters.labels()


def near_duplicate_groups(
    texts: Sequence[str], jaccard: float, containment: float, progress: Progress | None = None
) -> list[int]:
    """Return for each text the position of the first text of its cluster of near-duplicates.

    Args:
        texts: Texts that fit into memory.
        jaccard: Texts with at least this Jaccard similarity of their word-5-grams are near-duplicates.
        containment: Texts with at least this containment are near-duplicates too.
        progress: Updated once per batch of texts; None reports nothing.
    """
    sketches = Sketches()
    for text in texts:
        sketches.add(shingles(text))
    with (progress or SilentProgress()).task("near-duplicates", len(texts), "texts") as task:
        thresholds = Thresholds(jaccard, containment)
        labels = group(sketches, np.arange(len(texts)), texts.__getitem__, thresholds, task.advance)
    return [int(label) for label in labels]
