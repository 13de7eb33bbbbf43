"""Measures time and peak memory of the stages on a large corpus of made-up texts: generate without its LLM, split,
mine, what training reads, and evaluate.

    python -m bench.scale --work DIR                                     # 1,000,000 passages, 100,000 questions
    python -m bench.scale --work DIR --passages 20000 --questions 2000   # a quick run
    python -m bench.scale --work DIR --passages 20000 --questions 60000 --dimension 2048

The stages run as they are, each in a process of its own, on artifacts as ingest and generate write them. Nothing
is encoded: `make` puts random unit vectors into the vector cache, where the stages find them (a question is its
passage plus noise, less noise for the "tuned" model). A finished step is not repeated: run the same command
again after an interruption. A step that needs more than --memory GiB of its own memory fails, so that it harms no
other process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

from bench.scale_inputs import config, context, make

GIB = 1 << 30


# The steps that are measured.


def generate(work: Path) -> None:
    """Do what generate does before and after its LLM calls: bundles of neighbours, and the filters."""
    from embedtune.core.encoders.base_model import resolve_base
    from embedtune.core.encoders.pytorch import TorchEncoder
    from embedtune.generate.passages import read_passages
    from embedtune.generate.questions import Question
    from embedtune.generate.questions_to_ask import QuestionSlot
    from embedtune.generate.stage import apply_filters, question_calls

    its = context(work)
    settings = its.config
    passages = read_passages(work / "chunks", settings.contract)
    base = resolve_base(settings.contract, settings.base, its.cache, settings.storage, its.secrets)
    encoder = TorchEncoder(base, settings.contract, settings.runtime, its.cache / "embeddings")
    vectors = encoder.encode_passages([passage.text for passage in passages], its.progress)
    rows = pq.read_table(work / "questions" / "questions.parquet").to_pylist()
    asked = settings.generate.model_copy(update={"max_chunks": len({row["chunk_ids"][0] for row in rows})})
    source: Any = SimpleNamespace(replay=False, bundles={})  # as much of a reply source as is used here
    question_calls(passages, vectors, asked, settings.seed, source)
    slot, answer, scores = QuestionSlot("question", "structural", "factual", 2), "a" * 150, (8,) * 4
    questions = [
        Question(
            str(row["question_id"]),
            row["question"],
            answer,
            tuple(row["chunk_ids"]),
            (),
            slot,
            row["split"],
            "",
            "",
            scores,
        )
        for row in rows
    ]
    apply_filters(questions, passages, vectors, encoder, settings, its.progress)


def split(work: Path) -> None:
    from embedtune.split.stage import run

    run(work / "chunks", work / "questions", work / "dataset", context(work))


def mine(work: Path) -> None:
    from embedtune.mine.stage import run

    run(work / "dataset", work / "triplets", context(work))


def read(work: Path) -> None:
    """Read what training reads: the dev questions, the rows, and the texts of every batch of the first epoch."""
    from embedtune.train.dev import DevSet
    from embedtune.train.plan import plan_training
    from embedtune.train.rows import read_rows

    settings = config(work)
    dev = DevSet(work / "dataset", settings.contract, settings.runtime)
    rows = read_rows(work / "triplets", settings.train.negatives)
    batches = plan_training(len(rows), settings.train.model_copy(update={"epochs": 1.0}), settings.seed).batches()
    for batch in batches:
        for number in batch:
            rows.passages.resolve(rows.stored[number])
    assert dev


def evaluate(work: Path) -> None:
    from embedtune.evaluate import measure, stage

    # There are vectors, but no model whose speed could be measured.
    with patch.object(measure, "seconds_per_passage", return_value=1.0):
        stage.run(work / "dataset", work / "model", work / "evaluation", context(work))


STEPS: dict[str, Callable[[Path], None]] = {
    "generate": generate,
    "split": split,
    "mine": mine,
    "train reads": read,
    "evaluate": evaluate,
}


def child(step: str, options: argparse.Namespace) -> None:
    """Run one step in this process and write its figures."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(options.memory * GIB),) * 2)
    started = time.perf_counter()
    if step == "make":
        make(options.work, options.passages, options.questions, options.words, options.dimension)
    else:
        STEPS[step](options.work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_gib": used.ru_maxrss * 1024 / GIB,
    }
    _figures(options.work, step).write_text(json.dumps(figures))


def _figures(work: Path, step: str) -> Path:
    return work / f"{step.replace(' ', '-')}.json"


def main() -> None:
    """Run the steps that are not finished, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="directory of everything; takes 8 kB per passage at 384 dimensions",
    )
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=200, help="words per passage")
    parser.add_argument("--dimension", type=int, default=384, help="numbers per vector")
    parser.add_argument("--memory", type=float, default=16, help="GiB that a step may use")
    parser.add_argument("--child", choices=("make", *STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    for step in ("make", *STEPS):
        if not _figures(options.work, step).exists():
            subprocess.run([sys.executable, "-m", "bench.scale", *sys.argv[1:], "--child", step], check=True)
    print(f"{options.passages:,} passages of {options.words} words, {options.questions:,} questions, ", end="")
    print(f"{options.dimension} dimensions, {os.cpu_count()} CPU cores\n")
    print("| step | seconds | CPU seconds | peak memory |\n|---|---|---|---|")
    for step in STEPS:
        found = json.loads(_figures(options.work, step).read_text())
        print(f"| {step} | {found['seconds']:,.0f} | {found['cpu_seconds']:,.0f} | {found['peak_gib']:.1f} GiB |")


if __name__ == "__main__":
    main()
