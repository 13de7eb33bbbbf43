"""The outcome of a run as numbers: what the KFP UI shows first when runs are compared."""

import json
import math
from pathlib import Path
from typing import Protocol

from embedtune.core.artifacts import read_artifact
from embedtune.core.records.base import read_record
from embedtune.core.records.evaluation import VERDICT_FILE, Verdict, VerdictRecord
from embedtune.core.records.metrics import METRICS_FILE, Metrics

VERDICTS = {Verdict.WIN: 1, Verdict.MARGINAL: 0, Verdict.REGRESSION: -1}  # KFP compares numbers
SYSTEMS = ("base", "tuned", "champion")
SHOWN = ("ndcg@10", "recall@10")


class MetricsOutput(Protocol):
    """The part of `dsl.Metrics` that is used here; this module does not import KFP."""

    path: str

    def log_metric(self, metric: str, value: float) -> None:
        """Store one figure."""


def outcome_figures(questions: Path, model: Path, evaluation: Path, *, deployed: bool) -> dict[str, float]:
    """Return the figures of a run; the UI sorts them by name.

    Args:
        questions: The artifact written by generate.
        model: The artifact written by train.
        evaluation: The artifact written by evaluate.
        deployed: Whether the model went live.

    Returns:
        The verdict against the base and the promotion against the live model (1 WIN, 0 MARGINAL, -1 REGRESSION),
        whether the model was deployed, the deciding set's means by system, the difference with its interval, the
        number of questions kept, the cost in USD if it is known, and the seconds of the longest stages.

    Raises:
        ArtifactError: An artifact is damaged or of another version.
    """
    verdict = read_record(evaluation / VERDICT_FILE, VerdictRecord)
    decided = read_record(evaluation / METRICS_FILE, Metrics).sets[verdict.decided_on]
    asked = read_artifact(questions, "questions").manifest
    seconds = {
        "generate": asked.report.seconds,
        "train": read_artifact(model, "model").manifest.report.seconds,
        "evaluate": read_artifact(evaluation, "evaluation").manifest.report.seconds,
    }
    means = {
        f"{metric.replace('@', '_at_')}_{system}": decided.systems[system][metric]
        for metric in SHOWN
        for system in SYSTEMS
        if system in decided.systems and metric in decided.systems[system]
    }
    figures = {
        "verdict": VERDICTS[verdict.verdict],
        "promotion": VERDICTS[verdict.promotion.verdict],
        "deployed": int(deployed),
        **means,
        "ndcg_at_10_difference": verdict.delta.mean,
        "ndcg_at_10_difference_low": verdict.delta.low,
        "ndcg_at_10_difference_high": verdict.delta.high,
        "questions_kept": asked.counts["questions"],
        # Without prices it would be 0, which is not what was paid.
        **({"cost_usd": asked.report.cost_usd} if asked.report.cost_usd else {}),
        **{f"seconds_{stage}": value for stage, value in seconds.items()},
    }
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def write_figures(figures: dict[str, float], metrics: MetricsOutput) -> None:
    """Write figures where the KFP UI shows them."""
    for name, value in figures.items():
        metrics.log_metric(name, value)
    # KFP needs no file for metrics, but its local cache treats an output without a file as lost.
    Path(metrics.path).write_text(json.dumps(figures), encoding="utf-8")
