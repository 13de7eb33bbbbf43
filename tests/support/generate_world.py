"""A directory to run generate in, with a tiny random model and a server that speaks the OpenAI protocol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.generate.recording import export_recording
from embedtune.generate.stage import run
from tests.support.context import context
from tests.support.openai_server import OpenAIServer
from tests.support.passages_world import PARTS, WORK, small_config, write_chunks

Rows = list[tuple[str, str, str]]
SPLITS = ("train", "train", "train", "dev", "test")
ROWS: Rows = [
    (
        f"{PARTS[d]} guide",
        SPLITS[d % 5],
        f"To {WORK[n]} the {PARTS[d]} {d}{n} wait {7 * d + n} minutes at {n + 3} bar.",
    )
    for d in range(10)
    for n in range(2)
]


@dataclass(frozen=True)
class GenerateWorld:
    """Functions that run the stage in one directory."""

    folder: Path
    base: Path
    server: OpenAIServer

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def config(self, **generate: Any) -> Config:
        config = small_config(self.base, **generate)
        if generate.get("recording"):
            return config
        llm = config.generate.llm.model_copy(update={"base_url": self.server.url})
        return config.model_copy(update={"generate": config.generate.model_copy(update={"llm": llm})})

    def chunks(self, rows: Rows = ROWS) -> Path:
        return write_chunks(self.folder / "chunks", rows, small_config(self.base).contract)

    def run(
        self, rows: Rows = ROWS, output: str = "questions", cache: Path | None = None, **generate: Any
    ) -> StageReport:
        config = self.config(**generate)
        return run(self.chunks(rows), self.folder / output, context(config, cache or self.cache))

    def rows(self, table: str = "questions", output: str = "questions") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(self.folder / output / f"{table}.parquet").to_pylist()
        return found

    def record(self, name: str = "recording.jsonl.gz", **generate: Any) -> tuple[Path, int]:
        """Export a recording; return its path and the number of replies."""
        path = self.folder / name
        config = self.config(**generate)
        return path, export_recording(self.folder / "chunks", self.cache, path, config, "Apache-2.0", "2026-01-02")
