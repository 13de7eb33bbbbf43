"""Decides whether an engine may go live, by a verdict that must be about this engine and the live model."""

from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import Artifact
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import read_record
from embedtune.core.records.evaluation import VERDICT_FILE, Promotion, Verdict, VerdictRecord
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title

ACCEPTED = {"win": {Verdict.WIN}, "marginal": {Verdict.WIN, Verdict.MARGINAL}}


@dataclass(frozen=True)
class Decision:
    """The decision whether to deploy a challenger, and the reason.

    Args:
        deploy: Whether it is deployed.
        reason: One sentence for the report.
    """

    deploy: bool
    reason: str


def decide(engine: Artifact, evaluation: Artifact, live_model: str | None, settings: DeploySettings) -> Decision:
    """Apply the rule: better than the live model, or as good if `deploy.accept` is marginal.

    Args:
        engine: The challenger.
        evaluation: Its comparison with the base and, if there is one, with the champion.
        live_model: Fingerprint of the model artifact that is live now; None if nothing is.
        settings: Which verdicts are accepted.

    Raises:
        ArtifactError: The evaluation and the engine belong to different models, or the verdict is missing,
            damaged, or of another version.
    """
    model = engine.manifest.inputs["model"]
    if (evaluated := evaluation.manifest.inputs["model"]) != model:
        raise ArtifactError(
            "the evaluation and the engine belong to different models",
            got=f"evaluated {evaluated[:16]}, exported {model[:16]}",
            fix="run evaluate and export on the same model",
        )
    if live_model == model:
        return Decision(True, "this model is already live")
    promotion = _promotion(evaluation.path)
    against, verdict, delta = promotion.against, promotion.verdict, promotion.delta
    if live_model is not None and against != "champion":
        return Decision(
            False, "another model is live, and the evaluation did not compare with it (evaluate with --champion)"
        )
    measured = f"{delta.mean:+.4f} {metric_title(DECIDING_METRIC)}, interval {delta.low:+.4f} to {delta.high:+.4f}"
    if verdict in ACCEPTED[settings.accept]:
        return Decision(True, f"{verdict} against the {against}: {measured}")
    return Decision(False, f"{verdict} against the {against} ({measured}), and deploy.accept is {settings.accept}")


def accepts(evaluation: Path, accept: str) -> bool:
    """Return whether the verdict on replacing the live model is good enough to deploy.

    Args:
        evaluation: The evaluation artifact.
        accept: A value of `deploy.accept`.

    Raises:
        ArtifactError: The verdict is missing, damaged, or of another version.
    """
    return _promotion(evaluation).verdict in ACCEPTED[accept]


def _promotion(evaluation: Path) -> Promotion:
    return read_record(evaluation / VERDICT_FILE, VerdictRecord).promotion
