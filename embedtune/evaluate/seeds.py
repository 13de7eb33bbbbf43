"""Several training seeds: their spread becomes part of the intervals of the tuned model's differences."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedtune.core.records.evaluation import Interval
from embedtune.core.records.training import SEEDS_FOLDER
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.evaluate.intervals import DECIMALS, DIFFERENCE, Differences
from embedtune.evaluate.result import SetResult

_PREFIX = "seed-"


def seed_models(model: Path) -> dict[str, Path]:
    """Return the models that were trained with other seeds, by the name of their system.

    Args:
        model: Directory of the model artifact.
    """
    folders = sorted((model / SEEDS_FOLDER).glob("*"), key=lambda folder: int(folder.name))
    return {f"{_PREFIX}{folder.name}": folder for folder in folders}


def with_spread(differences: Differences, results: Sequence[SetResult], confidence: float) -> Differences:
    """Widen the intervals of the tuned model's differences by the spread between training seeds.

    The questions and the seed are independent causes of chance, so their half-widths add up in squares. That of
    the seed is t·s: s is the standard deviation of the metric's mean between seeds, t the quantile of Student's
    distribution. The interval then says what another training of this kind would give, whichever its seed.

    Args:
        differences: Differences of the tuned model and another system.
        results: The sets; their systems tell whether there are other seeds.
        confidence: Width of the intervals.

    Returns:
        The differences; the same ones if there are no other seeds.
    """
    return {result.name: _set_with_spread(differences[result.name], result, confidence) for result in results}


def seed_notes(results: Sequence[SetResult]) -> list[str]:
    """Say how far the trainings lie apart."""
    return [_note(result) for result in results if _others(result)]


def _note(result: SetResult) -> str:
    means = [mean[DECIDING_METRIC] for mean in _means(result)]
    figures = ", ".join(f"{mean:.4f}" for mean in means)
    return (
        f"{result.name}: {metric_title(DECIDING_METRIC)} after training with {len(means)} seeds: {figures} (the "
        f"first is the tuned model); standard deviation {_deviation(means):.4f}, which is part of the intervals"
    )


def _set_with_spread(
    intervals: Mapping[str, Interval], result: SetResult, confidence: float
) -> Mapping[str, Interval]:
    if not _others(result):
        return intervals
    means = _means(result)
    return {
        name: _widened(interval, [mean[name] for mean in means], confidence)
        for name, interval in intervals.items()
    }


def _means(result: SetResult) -> list[dict[str, float]]:
    """Return the mean of each metric, for the tuned model and then for each other seed."""
    return [result.means(system) for system in ("tuned", *_others(result))]


def _others(result: SetResult) -> list[str]:
    return [system for system in result.runs if system.startswith(_PREFIX)]


def _widened(interval: Interval, means: Sequence[float], confidence: float) -> Interval:
    from scipy.stats import t

    margin = float(t.ppf((1.0 + confidence) / 2.0, len(means) - 1)) * _deviation(means)
    low = interval.mean - math.hypot(interval.mean - interval.low, margin)
    high = interval.mean + math.hypot(interval.high - interval.mean, margin)
    least, most = DIFFERENCE
    return interval.model_copy(
        update={"low": round(max(low, least), DECIMALS), "high": round(min(high, most), DECIMALS)}
    )


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
