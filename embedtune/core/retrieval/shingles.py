"""Defines words and shingles, and counts the shingles that two texts share."""

import hashlib
import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

WORDS_PER_SHINGLE = 5

_HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SOUTHEAST = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
_OTHER = rf"[^\W{_HAN}{_KANA}{_SOUTHEAST}]"
# Scripts without spaces between words are segmented by character class: one Han character, a run of kana, or up to
# four characters of a Thai, Lao, Burmese or Khmer phrase count as one word.
_WORD = re.compile(rf"{_OTHER}+(?:[-'\u2019.:/]{_OTHER}+)*|[{_HAN}]|[{_KANA}]+|[{_SOUTHEAST}]{{1,4}}")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64


def words(text: str) -> list[str]:
    """Return the words of a text, case folded, without punctuation."""
    return _WORD.findall(text.casefold())


def shingles(text: str, n: int = WORDS_PER_SHINGLE) -> Hashes:
    """Return the hashed word-n-grams of a text, sorted and unique; a shorter text has one, of all its words.

    Args:
        text: Any text.
        n: Number of words in a shingle.
    """
    found = words(text)
    hashes = np.fromiter(map(_word_hash, found), dtype=np.uint64, count=len(found))
    width = min(n, len(hashes))
    if width == 0:
        return hashes
    total = np.zeros(len(hashes) - width + 1, dtype=np.uint64)
    for offset in range(width):
        total *= _MULTIPLIER
        total += hashes[offset : offset + len(total)]
    return np.unique(_mixed(total))


@lru_cache(maxsize=1 << 17)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """Distribute hashes evenly (the finaliser of splitmix64), so that the smallest are a random sample."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    return values ^ (values >> np.uint64(31))


def overlap(a: Hashes, b: Hashes) -> int:
    """Return the number of shingles that two sorted sets have in common."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return 0
    places = np.searchsorted(b, a)
    return int(np.count_nonzero(b[np.minimum(places, len(b) - 1)] == a))


def jaccard(a: Hashes, b: Hashes) -> float:
    """Return the share of the shingles of two texts that both have, 0 if there are no shingles."""
    common = overlap(a, b)
    return common / (len(a) + len(b) - common) if common else 0.0


def containment(a: Hashes, b: Hashes) -> float:
    """Return the share of the shingles of the smaller text that the other has too, 0 if it has none."""
    common = overlap(a, b)
    return common / min(len(a), len(b)) if common else 0.0
