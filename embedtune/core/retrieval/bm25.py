"""BM25: the lexical baseline of the evaluation, and the second opinion of the round-trip filter.

    score(q, d) = sum over the tokens t of q that are in d of idf(t) · tf / (tf + k1 · (1 - b + b · |d| / average))
    idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5))

for a token that is tf times in d, and in n of N texts, with Lucene's defaults k1 = 1.2 and b = 0.75. A token that
is twice in q counts twice. bm25s computes this (its method "lucene") in float32.
"""

import os
import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from embedtune.core.retrieval.shingles import words

QUERIES = 64  # that one thread searches in a row
_SEPARATOR = re.compile(r"[-'\u2019.:/_]")


def tokenize(text: str) -> list[str]:
    """Return the word tokens of a text, case folded; a code or compound is included both whole and in parts.

    `tokenize("Replace A-114 now")` gives `["replace", "a-114", "a", "114", "now"]`, so that a query finds the code
    both as it is written and as people type it.
    """
    tokens: list[str] = []
    for word in words(unicodedata.normalize("NFKC", text)):
        tokens.append(word)
        if word.isalnum():  # most words: nothing to separate
            continue
        parts = [part for part in _SEPARATOR.split(word) if part]
        tokens += parts if len(parts) > 1 else []
    return tokens


class _Tokens:
    """The tokens of all texts as numbers, 4 bytes each: bm25s reads `ids` text by text, several times.

    Lists of strings, which bm25s takes too, need forty times as much memory.

    Attributes:
        vocab: The number of each token, as bm25s calls it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__  # the next token's number
        self._numbers = array("i")
        self._ends = array("q", [0])
        for text in texts:
            self._numbers.extend(map(numbers.__getitem__, tokenize(text)))
            self._ends.append(len(self._numbers))
        self.vocab = dict(numbers)

    @property
    def ids(self) -> "_Tokens":
        """The numbers of each text's tokens."""
        return self

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator["array[int]"]:
        for number in range(len(self)):
            yield self._numbers[self._ends[number] : self._ends[number + 1]]


class BM25Index:
    """An index of texts for BM25, built by bm25s.

    Memory: 8 bytes per distinct token of each text, and three times as much while it is built.

    Args:
        texts: At least one text; results refer to them by position.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self._size = len(texts)
        tokens = _Tokens(texts)
        self._index: bm25s.BM25 | None = None
        if tokens.vocab:
            self._index = bm25s.BM25(method="lucene", k1=1.2, b=0.75, csc_backend="auto")
            self._index.index(tokens, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the k best texts for each query.

        Args:
            queries: Any texts.
            k: Number of texts wanted; all texts if there are fewer.

        Returns:
            Indices (n, k) and scores (n, k), descending; of equal scores the lower index comes first. A score of
            0 means that the text shares no token with the query.
        """
        k = min(k, self._size)
        indices = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)

        def fill(start: int) -> None:
            for row in range(start, min(start + QUERIES, len(queries))):
                every = self.scores(queries[row])
                indices[row] = _best(every, k)
                scores[row] = every[indices[row]]

        # numpy releases Python's lock while it selects the best of many scores.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(fill, range(0, len(queries), QUERIES)))
        return indices, scores

    def scores(self, query: str) -> npt.NDArray[np.float32]:
        """Return the score of every text for a query, shape (texts,)."""
        known = self._index.vocab_dict if self._index is not None else {}
        tokens = [token for token in tokenize(query) if token in known]
        if self._index is None or not tokens:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._index.get_scores(tokens), dtype=np.float32)


def _best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Return the indices of the k highest scores, descending, ties by lower index."""
    if k == 0:
        return np.empty(0, dtype=np.int64)
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero(scores >= last)  # k texts, and more where ties cross the end
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]
