"""One training of bench/gain.py in a process of its own, so that its memory can be measured.

    python bench/gaining/training.py TASK.json

TASK.json holds a `Task`; the result is written to the file that it names.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedtune import api
from embedtune.core.config.load import load_config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.passage_groups import group_of, search_depth
from embedtune.core.stage import Context
from embedtune.evaluate.hybrid import fused_run
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import Run, dense_run, lexical_run
from embedtune.evaluate.sets import load_set
from embedtune.train.dev import DevSet
from embedtune.train.fit import fit
from embedtune.train.merge import merge_into
from embedtune.train.model import save_model, trainable_model, trained_model
from embedtune.train.plan import plan_training
from embedtune.train.rows import read_rows
from embedtune.train.soft_labels import with_soft_labels

METRICS = ("ndcg@10", "recall@10", "recall@100")
CUTS = (10, 100)


@dataclass(frozen=True)
class Task:
    """What to train and measure.

    Args:
        collection: Name of the collection.
        dataset: Its dataset artifact.
        triplets: The triplets mined from it.
        people: Directory of people's questions.
        preset: The preset and the base model, for example minilm+gte-small.
        settings: What differs from it.
        seed: Of the training.
        shares: Shares of the base model's weights to measure.
        result: File to write.
    """

    collection: str
    dataset: str
    triplets: str
    people: str
    preset: str
    settings: Sequence[str]
    seed: int
    shares: Sequence[float]
    result: str


def train_and_measure(task: Task) -> dict[str, object]:
    """Train; measure the last checkpoint, and the best on dev if it is another, at each share of the base."""
    context = api.open_context(
        Path(task.result).parent, load_config(task.preset, [*task.settings, f"seed={task.seed}"])
    )
    config, checkpoints = context.config, Path(task.result).with_suffix(".fit")
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    dev = DevSet(Path(task.dataset), config.contract, config.runtime)
    rows = read_rows(Path(task.triplets), config.train.negatives)
    if config.train.loss == "hybrid":
        encoder = TorchEncoder(base, config.contract, config.runtime, context.cache / "embeddings")
        rows = with_soft_labels(rows, encoder, "cpu", SilentProgress())
    plan = plan_training(len(rows), config.train, config.seed)
    started, used = time.monotonic(), time.process_time()
    model = trainable_model(base, config, plan.seed)
    fitted = fit(model, rows, plan, dev, context.cache / "train" / checkpoints.name, context)
    del model
    figures = {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": plan.rows,
        "steps": plan.steps,
        "kept_step": fitted.best_step,
        "dev": [[point.step, point.ndcg_at_10] for point in fitted.dev],
    }
    people = load_set(task.collection, Path(task.people), config.ingest, SilentProgress())
    kept = {"last": plan.steps, "best on dev": max(fitted.dev, key=lambda point: point.ndcg_at_10).step}
    measured = {}
    for name, step in kept.items():
        if name != "last" and step == plan.steps:
            continue
        checkpoint = fitted.checkpoint.parent / f"checkpoint-{step}"
        for share in task.shares:
            tuned = trained_model(checkpoint, base, config.train.lora, config.contract, config.runtime)
            merge_into(tuned, load_model(base, config.contract, config.runtime), share)
            folder = checkpoints / "model"
            shutil.rmtree(folder, ignore_errors=True)
            save_model(tuned, "fp32", folder)
            measured[f"{name}, {share:g}"] = measure(folder, people, dev, context)
    shutil.rmtree(fitted.checkpoint.parent)
    shutil.rmtree(checkpoints)
    return {**figures, "measured": measured}


def measure(model: Path, people: RetrievalSet, dev: DevSet, context: Context) -> dict[str, object]:
    """Return how a model does on dev, and its metrics on each question of people."""
    config = context.config
    encoder = TorchEncoder(model, config.contract, config.runtime)
    run = dense_run(encoder, people, depth(people), "cpu", SilentProgress())
    (size,) = config.contract.dimensions[:1]
    return {
        "dev": dev.measure(encoder, SilentProgress())[size],
        "people": by_question(run, people),
        "hybrid": by_question(fused_run(run, lexical_run(people, depth(people))), people),
    }


def depth(people: RetrievalSet) -> int:
    return search_depth(group_of(people.corpus), CUTS[-1])


def by_question(run: Run, people: RetrievalSet) -> dict[str, dict[str, float]]:
    rows = SetResult("people", people, {"model": run}, CUTS).per_query["model"]
    return {query: {name: row[name] for name in METRICS} for query, row in rows.items()}


def main() -> None:
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    result = train_and_measure(task)
    draft = Path(task.result).with_suffix(".draft")
    draft.write_text(json.dumps({"task": asdict(task), **result}, indent=1))
    draft.replace(task.result)


if __name__ == "__main__":
    main()
