"""A tiny training set-up on disk: a random BERT, a dataset of facts about machines, and hand-made triplets."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from embedtune.core.artifacts import StageReport, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.records.base import read_record
from embedtune.core.records.training import TRAINING_FILE, Training
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.core.stage import stage_provenance
from embedtune.mine.triplets import PASSAGE_SCHEMA, SCHEMA
from embedtune.train.stage import run
from tests.support.context import context
from tests.support.tiny_model import make_tiny_model, tiny_contract

MACHINES = ("press", "kiln", "drum", "valve", "pump", "seal", "hoist", "chain", "cutter", "knife", "pin", "belt")
FACTS = ("pressure limit", "oil grade", "start time", "alarm code")


@dataclass(frozen=True)
class World:
    """Paths of the stage's inputs."""

    base: Path
    dataset: Path
    triplets: Path


def make_world(
    root: Path,
    *,
    rows: int = 24,
    dev: int = 6,
    wrong: int = 4,
    dimensions: tuple[int, ...] = (32,),
    make_base: Any = make_tiny_model,
    precision: str = "auto",
    weights: Sequence[float] = (),
) -> World:
    """Write base model, dataset and triplets, with `wrong` negatives per row, as mined in `precision`.

    Rows beyond `weights` weigh 1.
    """
    world = World(make_base(root / "base"), root / "dataset", root / "triplets")
    config = tiny_config(world, dimensions=dimensions, precision=precision)
    passages = [
        Record(f"p{i}", f"the {fact} of the {machine} is {i}", {"group_id": f"p{i}"})
        for i, (machine, fact) in enumerate((m, f) for m in MACHINES for f in FACTS)
    ]
    queries = [Record(f"q{i}", passage.text.rpartition(" is ")[0]) for i, passage in enumerate(passages)]
    with write_artifact(world.dataset, "dataset", stage_provenance("split", config, {})) as draft:
        write_records(draft.path / "corpus.jsonl", passages)
        write_records(draft.path / "queries.jsonl", queries)
        ids = [f"{i}" for i in range(len(passages))]
        parts = {"train": ids[:rows], "dev": ids[rows : rows + dev], "test": ids[rows + dev :]}
        for name, members in parts.items():
            write_qrels(draft.path / "qrels" / f"{name}.tsv", {f"q{i}": {f"p{i}": 1} for i in members})
        (draft.path / "split.json").write_text("{}")
    with write_artifact(world.triplets, "triplets", stage_provenance("mine", config, {})) as draft:
        weigh = [*weights, *[1.0] * (rows - len(weights))]
        table = [_row(i, queries, passages, wrong) | {"weight": weigh[i]} for i in range(rows)]
        pq.write_table(pa.Table.from_pylist(table, schema=SCHEMA), draft.path / "triplets.parquet")
        pq.write_table(_passage_table(passages), draft.path / "passages.parquet")
        (draft.path / "audit.json").write_text("{}")
    return world


def tiny_config(
    world: World, *, dimensions: tuple[int, ...] = (32,), precision: str = "auto", **train: Any
) -> Config:
    """Return a configuration for a world: 2 epochs of batches of 8, on the CPU."""
    settings = {"negatives": 2, "batch_size": 8, "epochs": 2, "learning_rate": 1e-3, "warmup_steps": 2} | train
    return parse_config(
        {
            "contract": tiny_contract(world.base, dimensions).model_dump(),
            "train": settings,
            "runtime": {"device": "cpu", "precision": precision},
        }
    )


def train(world: World, output: Path, config: Config, progress: Any = None) -> StageReport:
    """Run the stage; every output has a cache of its own."""
    cache = output.parent / f"cache-{output.name}"
    return run(world.triplets, world.dataset, output, context(config, cache, progress))


def record_of(model: Path) -> Training:
    """Read the training record of a model artifact."""
    return read_record(model / TRAINING_FILE, Training)


def weights(model: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the weights of a model directory."""
    return load_file(model / "model.safetensors")


class Interrupt:
    """A progress that interrupts the run at a training step: at once, or with a signal as Ctrl-C does."""

    def __init__(self, step: int, number: signal.Signals | None = None) -> None:
        self.left, self.number = step, number

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator["Interrupt"]:
        self.counts = name == "train"
        yield self

    def advance(self, n: int = 1) -> None:
        if self.counts:
            self.left -= n
            if self.left <= 0 and self.number is None:
                raise KeyboardInterrupt
            if self.left == 0 and self.number is not None:
                signal.raise_signal(self.number)

    def skip(self, n: int = 1) -> None:
        self.advance(n)

    def note(self, text: str) -> None:
        pass


def _row(i: int, queries: list[Record], passages: list[Record], count: int) -> dict[str, Any]:
    wrong = [passages[(i + step) % len(passages)] for step in (1, 2, 4, 8)[:count]]
    return {
        "query_id": f"q{i}",
        "query": queries[i].text,
        "positive_id": f"p{i}",
        "positive_score": 0.9,
        "positive_ids": [f"p{i}"],
        "negative_ids": [passage.id for passage in wrong],
        "negative_scores": [0.5] * len(wrong),
    }


def _passage_table(passages: list[Record]) -> pa.Table:
    rows = [{"passage_id": one.id, "group_id": one.metadata["group_id"], "text": one.text} for one in passages]
    return pa.Table.from_pylist(rows, schema=PASSAGE_SCHEMA)
