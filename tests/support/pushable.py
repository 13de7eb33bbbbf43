"""A work directory with a trained tiny model and the verdict that a test wants."""

import shutil
from pathlib import Path

from embedtune.core.artifacts import SCHEMAS, read_manifest, write_artifact
from embedtune.core.records.base import write_record
from embedtune.core.records.evaluation import VERDICT_FILE
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.core.stage import stage_provenance
from tests.support.evaluation_records import make_verdict
from tests.support.training_world import make_world, tiny_config, train

MEANS = {"base": {"ndcg@10": 0.5, "mrr@10": 0.4}, "tuned": {"ndcg@10": 0.62504, "mrr@10": 0.5}}
NO_CHANGE = {"mean": 0.0, "low": 0.0, "high": 0.0, "units": 9}


def train_once(root: Path) -> Path:
    """Write a world and train its model, in `root/work`."""
    world = make_world(root)
    train(world, root / "work" / "model", tiny_config(world))
    return root / "work"


def with_verdict(trained: Path, work: Path, verdict: str | None, base: Path) -> Path:
    """Copy a trained model to a work directory and add an evaluation, unless `verdict` is None."""
    shutil.copytree(trained / "model", work / "model")
    if verdict is None:
        return work
    from tests.support.training_world import World

    config = tiny_config(World(base, base, base))
    inputs = {"model": read_manifest(work / "model", "model").fingerprint}
    with write_artifact(work / "evaluation", "evaluation", stage_provenance("evaluate", config, inputs)) as draft:
        for name in SCHEMAS["evaluation"].files:
            (draft.path / name).write_text("{}")
        delta = {"ndcg@10": NO_CHANGE, "mrr@10": NO_CHANGE}
        one = {"queries": 9, "units": 9, "systems": MEANS, "delta": delta}
        write_record(draft.path / METRICS_FILE, Metrics.model_validate({"sets": {"synthetic": one}}))
        write_record(draft.path / VERDICT_FILE, make_verdict(verdict))
    return work
