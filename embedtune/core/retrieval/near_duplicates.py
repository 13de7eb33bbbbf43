"""Near-duplicate texts: which texts share most of their shingles.

Two texts are near-duplicates when the sets of their word-5-grams have a Jaccard similarity, or a containment (the
shared part of the smaller set), of at least given thresholds. Candidates come from bottom-k MinHash sketches: of
each text the k smallest shingle hashes, a random sample of its shingles that is the same wherever one stands.
A text whose shingles hold most of another's sample is verified on the full sets.

Why not the banded tables of a MinHash LSH library: they find pairs by Jaccard similarity alone, and a short text
inside a long one has little. Containment finds both: a Jaccard similarity j implies a containment of at least
2j / (1 + j). And the 32 tables that find 99.9 % of the pairs at 0.7 take 3 kB a text (measured with rensa 0.5); a
sketch and its index take 400 bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.shingles import Hashes, overlap, shingles
from embedtune.core.retrieval.union_find import Labels, UnionFind

SKETCH = 32  # hashes kept of a text
POSTING = 64  # texts looked at that share one sampled shingle; a phrase in more of them tells little
BATCH = 256  # texts compared at a time
BLOCK = 1 << 20  # keys looked at at a time
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Thresholds:
    """When two texts are near-duplicates: by either measure."""

    jaccard: float
    containment: float

    @property
    def least(self) -> float:
        """The containment that every pair has which either measure accepts."""
        return min(self.containment, 2 * self.jaccard / (1 + self.jaccard))

    def accept(self, a: Hashes, b: Hashes) -> bool:
        """Tell whether two texts are near-duplicates."""
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
        """Keep the sketch of the next text, given its shingles."""
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
            rows: Numbers of the texts, rising; the index counts them from 0.
            thresholds: They decide how many sampled shingles a candidate must hold.
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
    """Which texts have a shingle in their sketch: sorted keys of 32 bits of shingle hash and 32 bits of text."""

    def __init__(self, keys: Hashes, sizes: Labels, least: float) -> None:
        self._keys = keys
        held = np.zeros(len(sizes), dtype=np.int64)
        for start in range(0, len(keys), BLOCK):
            block = (keys[start : start + BLOCK] & _LOW).astype(np.int64)
            held += np.bincount(block, minlength=len(sizes))
        # A sketch that is the whole set must hold `least` of it. A sample of k holds k · least on average; five
        # standard deviations less lose one in a hundred thousand of the pairs that are just above the threshold.
        expected = held * least
        sampled = np.floor(expected - 5 * np.sqrt(expected * (1 - least)))
        whole = np.ceil(expected - 1e-9)
        self._needed = np.maximum(1, np.where(held == sizes, whole, sampled))

    def candidates(self, found: Sequence[Hashes], first: int) -> Iterator[tuple[int, int]]:
        """Yield (text, other text) that may be near-duplicates.

        Args:
            found: Shingles of consecutive texts.
            first: The number of the first of them.
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
    """Leave the first `POSTING` texts of each shingle: those of a large cluster all meet in them."""
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
    """Return the cluster of each text in `rows`: chains of near-duplicates, named by the position of their first.

    Args:
        sketches: Of all texts.
        rows: Numbers of the texts to compare, rising.
        text_of: Reads a text by its number, again.
        thresholds: When two texts are near-duplicates.
        advance: Told how many more texts are done.
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
        texts: A set that fits into memory.
        jaccard: Texts with at least this Jaccard similarity of their word-5-grams are near-duplicates.
        containment: So are texts with at least this containment.
        progress: Where to report; None reports nothing.
    """
    sketches = Sketches()
    for text in texts:
        sketches.add(shingles(text))
    with (progress or SilentProgress()).task("near-duplicates", len(texts), "texts") as task:
        thresholds = Thresholds(jaccard, containment)
        labels = group(sketches, np.arange(len(texts)), texts.__getitem__, thresholds, task.advance)
    return [int(label) for label in labels]
