"""Whether queries are still like those that the release was tested with: counts and histograms, never a text.

Known here, without an index, are the length and the script of a query, how close its vector is to the middle
of the release's own test queries, and how close it is to the nearest of some passages of the corpus.
"""

import logging
import unicodedata
from collections import Counter as Counts
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import EmbedtuneError
from embedtune.core.retrieval.corpus_sample import CORPUS_SAMPLE_FILE, CorpusSample, cut, read_corpus_sample
from embedtune.serve.release.proof import read_proof
from embedtune.serve.release.record import PROOF_FILE, short

log = logging.getLogger(__name__)
MOST = 32  # queries of a request that are looked at
LOOKED_AT = 200  # characters of a query whose script is looked at
REMEMBERED = 4  # releases and vector sizes whose middle is known
LENGTHS = (10, 20, 40, 60, 80, 120, 160, 240, 400, 1000, 4000)
COSINES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# As Unicode's names of letters begin. A list, so that a client cannot create endless series.
SCRIPTS = (
    *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU"),
    *("THAI", "GEORGIAN", "HANGUL", "HIRAGANA", "KATAKANA", "CJK"),
)
OTHER, NONE = "other", "none"  # another script; no letter at all


class QueryDrift:
    """Watches queries.

    Args:
        registry: The registry of the gateway's metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.length = Histogram(
            "embedtune_gateway_query_characters", "Length of queries.", buckets=LENGTHS, registry=registry
        )
        self.scripts = Counter(
            "embedtune_gateway_query_scripts",
            "Number of queries by the script of most of their letters.",
            ["script"],
            registry=registry,
        )
        self.cosine = Histogram(
            "embedtune_gateway_query_cosine",
            "Cosine similarity of queries with the middle of the release's test queries.",
            ["release"],
            buckets=COSINES,
            registry=registry,
        )
        self.expected = Gauge(
            "embedtune_gateway_query_expected_cosine",
            "The mean of the same for the release's test queries themselves.",
            ["release"],
            registry=registry,
        )
        self.far = Counter(
            "embedtune_gateway_query_far",
            "Number of queries that are further from the corpus than 95% of the questions about it.",
            ["release"],
            registry=registry,
        )
        self._middles: dict[tuple[str, int], Vectors | None] = {}
        self._samples: dict[str, CorpusSample | None] = {}

    def observe(self, release: Path, texts: Sequence[bytes], vectors: Vectors) -> None:
        """Count queries.

        Args:
            release: Directory of the release that answered, named by its id.
            texts: The queries in UTF-8.
            vectors: Their vectors.
        """
        for text in texts[:MOST]:
            query = text.decode()
            self.length.observe(len(query))
            self.scripts.labels(script_of(query)).inc()
        middle = self._middle(release, vectors.shape[1])
        if middle is not None:
            for cosine in vectors[:MOST] @ middle:
                self.cosine.labels(short(release.name)).observe(float(cosine))
        sample = self._sample(release)
        far = sample.far(vectors[:MOST]) if sample else None
        if far is not None:
            self.far.labels(short(release.name)).inc(int(far.sum()))

    def _sample(self, release: Path) -> CorpusSample | None:
        if release.name not in self._samples:
            if len(self._samples) >= REMEMBERED:
                self._samples.clear()
            self._samples[release.name] = _read_sample(release / CORPUS_SAMPLE_FILE)
        return self._samples[release.name]

    def _middle(self, release: Path, size: int) -> Vectors | None:
        known = (release.name, size)
        if known not in self._middles:
            if len(self._middles) >= REMEMBERED:
                self._middles.clear()
            self._middles[known] = self._read(release, size)
        return self._middles[known]

    def _read(self, release: Path, size: int) -> Vectors | None:
        try:
            proof = read_proof(release / PROOF_FILE)
        except EmbedtuneError as error:
            log.warning("queries are not compared with the release's own: %s", error)
            return None
        rows = [row for row, kind in enumerate(proof.kinds) if kind == "query"]
        if not rows:
            return None
        queries = cut(proof.vectors[rows], size)
        middle: Vectors = cut(queries.mean(axis=0, keepdims=True), size)[0]
        if size == proof.vectors.shape[1]:
            self.expected.labels(short(release.name)).set(float((queries @ middle).mean()))
        return middle


def _read_sample(file: Path) -> CorpusSample | None:
    if not file.is_file():  # of a release whose engine had no questions to compare with
        return None
    try:
        return read_corpus_sample(file)
    except EmbedtuneError as error:
        log.warning("it is not known which queries are far from the corpus: %s", error)
        return None


def script_of(text: str) -> str:
    """Return the script of most letters of a text's beginning."""
    counts = Counts(script for script in map(_script, text[:LOOKED_AT]) if script)
    return counts.most_common(1)[0][0] if counts else NONE


@lru_cache(4096)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").partition(" ")[0]
    return name.lower() if name in SCRIPTS else OTHER
