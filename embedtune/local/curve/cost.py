"""What a learning curve takes on this machine, measured with a few rows and passages before the first training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.train import TrainSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.speed import seconds_per_passage
from embedtune.core.formatting import duration
from embedtune.core.retrieval.beir import read_qrels
from embedtune.local.curve.points import MeasuredOn, Point, Workshop
from embedtune.local.estimate import QUERY_SHARE
from embedtune.train.plan import plan_training
from embedtune.train.probe import measure_step_seconds


@dataclass(frozen=True)
class CurveCost:
    """The expected cost.

    Args:
        trainings: Trainings to do; those that are finished cost nothing.
        models: Models to measure.
        train_seconds: Time for training.
        embed_seconds: Time to embed dev questions, test sets and their corpora.
        device: The device that was measured.
    """

    trainings: int
    models: int
    train_seconds: float
    embed_seconds: float
    device: str

    def __str__(self) -> str:
        trainings = f"{self.trainings} {'training' if self.trainings == 1 else 'trainings'}"
        models = f"{self.models} {'model' if self.models == 1 else 'models'}"
        total = duration(self.train_seconds + self.embed_seconds)
        parts = f"{duration(self.train_seconds)} to train, {duration(self.embed_seconds)} to embed"
        return f"{trainings} to do, {models} to measure: about {total} on {self.device} ({parts}; measured now)"


def curve_cost(shop: Workshop, points: Sequence[Point], sets: Sequence[MeasuredOn]) -> CurveCost:
    """Measure how long the points take that are not finished.

    Args:
        shop: Where they are kept.
        points: All points of the curve.
        sets: What each is measured on.
    """
    config, context = shop.context.config, shop.context
    device = device_of(config.runtime)
    left = [point for point in points if not shop.is_measured(point, sets)]
    new = [point for point in left if shop.own_model(point) is None]
    if not left:
        return CurveCost(0, 0, 0.0, 0.0, device)
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    texts = [passage.text for passage in shop.data.passages]
    per_passage = seconds_per_passage(base, config.contract, config.runtime, texts, context.progress)
    train_seconds = embedded = 0.0
    if new:
        rows = [_rows(shop, point) for point in new]
        # The time of a step is proportional to its rows.
        largest = max(rows)
        per_row = measure_step_seconds(base, config, largest, context.progress)
        per_row /= plan_training(largest, config.train, config.seed).batch_size
        plans = [plan_training(count, config.train, config.seed) for count in rows]
        train_seconds = per_row * sum(plan.steps * plan.batch_size for plan in plans)
        embedded = len(new) * dev_passages(shop.dataset.path, config.train, len(sets[0].data.corpus))
    measured = sum(len(one.data.corpus) + QUERY_SHARE * len(one.data.queries) for one in sets)
    return CurveCost(len(new), len(left), train_seconds, per_passage * (embedded + len(left) * measured), device)


def _rows(shop: Workshop, point: Point) -> int:
    return sum(len(judged) for judged in shop.part(point).qrels.values())


def dev_passages(dataset: Path, settings: TrainSettings, corpus: int) -> float:
    """Return the passages that one training embeds to rank its checkpoints on dev, and at its end.

    Args:
        dataset: A dataset artifact.
        settings: How often dev is measured, and on how many passages.
        corpus: Number of passages.
    """
    dev = len(read_qrels(dataset / "qrels" / "dev.tsv"))
    if not dev:
        return 0.0
    times = max(1, round(settings.epochs * settings.evaluations_per_epoch))
    ranked = min(corpus, settings.dev_passages)
    return times * (ranked + QUERY_SHARE * dev) + corpus + QUERY_SHARE * dev
