"""Compares exact search and metrics with BEIR's on the same vectors: the time, and whether the metrics agree.

Both get the same vectors (so encoding is not measured), keep the first 100 passages and compute nDCG, recall,
precision and MRR at 1, 5, 10 and 100. They run alternately in one process. Needs `pip install beir`.

    python bench/evaluate.py                                    # 50,000 passages, 1,000 queries
    python bench/evaluate.py --passages 20000 --queries 500     # a quick run
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC, evaluate_run, mean_metrics
from embedtune.evaluate.retrieve import dense_run

if TYPE_CHECKING:
    from torch import Tensor

K = (1, 5, 10, 100)
BEIR_NAMES = {"NDCG": "ndcg", "Recall": "recall", "P": "precision", "MRR": "mrr"}


class Given:
    """Takes the place of an encoder on both sides: a text is the number of its vector."""

    fingerprint = "given"

    def __init__(self, queries: Vectors, passages: Vectors) -> None:
        self.queries = queries
        self.passages = passages

    def encode_queries(
        self, texts: Sequence[str], progress: Progress | None = None, **_: object
    ) -> "Vectors | Tensor":
        vectors = self.queries[[int(text) for text in texts]]
        return vectors if progress is not None else _tensor(vectors)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        return self.passages[[int(text) for text in texts]]

    def encode_corpus(self, corpus: Sequence[dict[str, str]], **_: object) -> "Tensor":
        return _tensor(self.passages[[int(passage["text"]) for passage in corpus]])


def _tensor(vectors: Vectors) -> "Tensor":
    import torch

    return torch.from_numpy(vectors)


def make_vectors(passages: int, queries: int, dimension: int) -> Given:
    """Return unit vectors: random passages; a query is its passage plus noise of four times its length."""
    random = np.random.default_rng(42)
    corpus = random.standard_normal((passages, dimension), dtype=np.float32)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    noise = random.standard_normal((queries, dimension), dtype=np.float32) * np.float32(4 / dimension**0.5)
    asked = corpus[:queries] + noise
    return Given(asked / np.linalg.norm(asked, axis=1, keepdims=True), corpus)


def with_beir(given: Given, data: RetrievalSet) -> dict[str, float]:
    from beir.retrieval.evaluation import EvaluateRetrieval
    from beir.retrieval.search.dense import DenseRetrievalExactSearch

    corpus = {passage.id: {"title": "", "text": passage.text} for passage in data.corpus}
    queries = {query.id: query.text for query in data.queries}
    retriever = EvaluateRetrieval(DenseRetrievalExactSearch(given), k_values=list(K), score_function="dot")
    results = retriever.retrieve(corpus, queries)
    found = {
        **dict(item for part in retriever.evaluate(data.qrels, results, list(K)) for item in part.items()),
        **retriever.evaluate_custom(data.qrels, results, list(K), "mrr"),
    }
    named = ((name.partition("@"), value) for name, value in found.items())
    return {f"{BEIR_NAMES[family]}@{cut}": value for (family, _, cut), value in named if family in BEIR_NAMES}


def with_embedtune(given: Given, data: RetrievalSet) -> dict[str, float]:
    run = dense_run(given, data, max(K), "cpu", SilentProgress())
    return mean_metrics(evaluate_run(run, data.qrels, K))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    given = make_vectors(options.passages, options.queries, options.dimension)
    data = RetrievalSet(
        [Record(f"p{number}", str(number)) for number in range(options.passages)],
        [Record(f"q{number}", str(number)) for number in range(options.queries)],
        {f"q{number}": {f"p{number}": 1} for number in range(options.queries)},
    )
    systems = {"beir": with_beir, "embedtune": with_embedtune}
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}  # CPU time, for a machine that is shared
    times: dict[tuple[str, str], list[float]] = {(name, clock): [] for name in systems for clock in clocks}
    measured: dict[str, dict[str, float]] = {}
    for _ in range(options.repeats + 1):  # the first round warms up imports and threads
        for name, measure in systems.items():
            before = {clock: now() for clock, now in clocks.items()}
            measured[name] = measure(given, data)
            for clock, now in clocks.items():
                times[name, clock].append(now() - before[clock])
    medians = {key: statistics.median(values[1:]) for key, values in times.items()}
    print(f"{options.queries:,} queries x {options.passages:,} passages x {options.dimension}")
    for (name, clock), values in times.items():
        every = " ".join(f"{value:.2f}" for value in values[1:])
        print(f"{name:10} {clock:5} {medians[name, clock]:7.2f} s   ({every})")
    worst = max(abs(measured["beir"][name] - value) for name, value in measured["embedtune"].items())
    print(f"nDCG@10 {measured['embedtune'][DECIDING_METRIC]:.5f}; largest difference of a metric {worst:.6f}")
    for clock in clocks:
        print(f"ratio, {clock}: {medians['beir', clock] / medians['embedtune', clock]:.2f}x faster")


if __name__ == "__main__":
    main()
