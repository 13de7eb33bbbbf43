"""Compares hard-negative mining with sentence-transformers' (`mine_hard_negatives`, FAISS): time and peak memory.

All systems get the same vectors (so encoding is not measured), use the same margin and number of negatives, and
return the texts of the negatives. sentence-transformers looks at --depth candidates per query; "equal range" is
embedtune made to look at as many; "embedtune" runs as it does by default: it looks at a few candidates first, and
deeper, without a limit, where they do not suffice. Each system runs in its own process; they take turns.

    python bench/mine.py                                    # 100,000 passages, 10,000 queries
    python bench/mine.py --passages 20000 --queries 2000    # a quick run
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embedtune.mine.mining_arrays import MiningProblem
from embedtune.mine.negatives import FIRST_DEPTH, SearchOptions, mine_negatives

NEGATIVES, MARGIN = 5, 0.05
Bench = tuple[Callable[[], Any], Callable[[Any], list[list[str]]]]  # what is timed, and its result as rows
SYSTEMS = ("sentence-transformers", "equal range", "embedtune")


def make_vectors(folder: Path, passages: int, queries: int, dimension: int) -> None:
    """Write unit vectors: random passages; a query is its passage plus noise of 80 % of that length."""
    random = np.random.default_rng(42)
    corpus = random.standard_normal((passages, dimension), dtype=np.float32)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    noise = random.standard_normal((queries, dimension), dtype=np.float32) * np.float32(0.8 / dimension**0.5)
    asked = corpus[:queries] + noise
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    np.save(folder / "passages.npy", corpus)
    np.save(folder / "queries.npy", asked)


def mine_with_sentence_transformers(queries: np.ndarray, passages: np.ndarray, depth: int) -> Bench:
    import torch
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    class Given:
        """Stands in for the model: returns the given vectors."""

        device = torch.device("cpu")

        def get_embedding_dimension(self) -> int:
            return passages.shape[1]

        def encode_query(self, texts: list[str], **_: object) -> np.ndarray:
            return queries

        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            return passages

        def similarity_pairwise(self, left: np.ndarray, right: np.ndarray) -> torch.Tensor:
            return (torch.from_numpy(left) * torch.from_numpy(right)).sum(dim=1)

    texts, asked = _texts(len(passages), "passage"), _texts(len(queries), "query")
    pairs = Dataset.from_dict({"anchor": asked, "positive": texts[: len(asked)]})

    def run() -> Dataset:
        return mine_hard_negatives(
            pairs,
            Given(),
            corpus=texts,
            range_max=depth - 1,
            relative_margin=MARGIN,
            num_negatives=NEGATIVES,
            use_faiss=True,
            output_format="n-tuple",
            output_scores=True,
            verbose=False,
        )

    def rows(mined: Dataset) -> list[list[str]]:
        columns = [mined["anchor"], *(mined[f"negative_{i + 1}"] for i in range(NEGATIVES))]
        return [list(row) for row in zip(*columns, strict=True)]

    return run, rows


def mine_with_embedtune(queries: np.ndarray, passages: np.ndarray, depth: int = FIRST_DEPTH) -> Bench:
    texts, asked = _texts(len(passages), "passage"), _texts(len(queries), "query")
    every = np.arange(len(queries))
    problem = MiningProblem(queries, passages, np.arange(len(passages)), every, every, every)

    def run() -> list[list[str]]:
        mined = mine_negatives(
            problem, negatives=NEGATIVES, margin=MARGIN, options=SearchOptions(first_depth=depth)
        )
        complete = np.flatnonzero(mined.counts == NEGATIVES)
        rows = zip(complete.tolist(), mined.indices[complete].tolist(), strict=True)
        return [[asked[query], *(texts[index] for index in negatives)] for query, negatives in rows]

    return run, list


def _texts(count: int, name: str) -> list[str]:
    return [f"{name} number {index}" for index in range(count)]


def run_child(system: str, folder: Path, depth: int) -> None:
    """Mine once in this process; write the rows to a file and print seconds and memory as JSON."""
    queries, passages = np.load(folder / "queries.npy"), np.load(folder / "passages.npy")
    if system == "sentence-transformers":
        run, rows = mine_with_sentence_transformers(queries, passages, depth)
    else:
        run, rows = mine_with_embedtune(queries, passages, depth if system == "equal range" else FIRST_DEPTH)
    import faiss  # loaded before the clock starts
    import torch

    torch.zeros(1)
    faiss.knn(queries[:2], passages[:2], 1)
    before = _peak_mb()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    peak = _peak_mb()
    (folder / f"{system}.json").write_text(json.dumps(rows(result)))
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "added_mb": peak - before}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument(
        "--depth", type=int, default=52, help="candidates per query; 52 is the default of sentence-transformers"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child, options.folder, options.depth)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    make_vectors(folder, options.passages, options.queries, options.dimension)
    runs: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for _ in range(options.repeats):
        for system in SYSTEMS:
            command = [sys.executable, __file__, "--child", system, "--folder", str(folder)]
            command += ["--depth", str(options.depth)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs[system].append(json.loads(output.splitlines()[-1]))
    results = {system: json.loads((folder / f"{system}.json").read_text()) for system in SYSTEMS}
    peer, rows = SYSTEMS[0], results[SYSTEMS[0]]
    medians = {s: {key: statistics.median(run[key] for run in runs[s]) for key in runs[s][0]} for s in SYSTEMS}
    print(
        f"{options.queries:,} queries x {options.passages:,} passages x {options.dimension}, depth {options.depth}"
    )
    print(f"{'':24}{'seconds':>10}{'faster':>8}{'peak MB':>10}{'added MB':>10}{'same rows':>12}  all seconds")
    for system in SYSTEMS:
        found = medians[system]
        speed = medians[peer]["seconds"] / found["seconds"]
        same = sum(left == right for left, right in zip(rows, results[system], strict=False))
        every = " ".join(f"{run['seconds']:.2f}" for run in runs[system])
        print(
            f"{system:24}{found['seconds']:10.2f}{speed:7.2f}x{found['peak_mb']:10.0f}{found['added_mb']:10.0f}"
            f"{same:12,}  {every}"
        )


if __name__ == "__main__":
    main()
