"""Decides whether an engine may go live, by a verdict that must be about this engine and the live model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import Artifact, read_manifest
from embedtune.core.comparisons import CHAMPION_MODEL
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


ALREADY_LIVE = "this model is already live"


def require_same_model(engine: Artifact, others: Mapping[str, str]) -> str:
    """Return the fingerprint of the model that an engine was exported from.

    Args:
        engine: The engine.
        others: Fingerprints of the model that other artifacts were made from or are, by what they did.

    Raises:
        ArtifactError: One is another model.
    """
    model = engine.manifest.inputs["model"]
    for what, other in others.items():
        if other != model:
            raise ArtifactError(
                f"the {what} and the engine belong to different models",
                got=f"{what}: {other[:16]}, exported: {model[:16]}",
                fix="run evaluate, export and deploy on the same model",
            )
    return model


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
    model = require_same_model(engine, {"evaluation": evaluation.manifest.inputs["model"]})
    if live_model == model:
        return Decision(True, ALREADY_LIVE)
    promotion = _promotion(evaluation.path)
    if live_model is not None and promotion.against != "champion":
        return Decision(
            False, "another model is live, and the evaluation did not compare with it (run evaluate again)"
        )
    compared = evaluation.manifest.inputs.get(CHAMPION_MODEL)
    if live_model is not None and compared != live_model:
        other = f"model {compared[:16]}" if compared else "a model directory without a manifest"
        reason = f"the evaluation compared with {other}, but model {live_model[:16]} is live"
        return Decision(False, f"{reason} (run evaluate again)")
    if promotion.verdict in ACCEPTED[settings.accept]:
        return Decision(True, _reason(promotion))
    return Decision(False, f"{_reason(promotion)}, and deploy.accept is {settings.accept}")


def goes_on(evaluation: Path, accept: str | None) -> Decision:
    """Decide whether a run goes on to export and deploy, before it is known what is live then.

    Args:
        evaluation: The evaluation artifact.
        accept: A value of `deploy.accept`; None: the run deploys nothing.

    Raises:
        ArtifactError: The verdict is missing, damaged, or of another version.
    """
    promotion = _promotion(evaluation)
    compared = read_manifest(evaluation, "evaluation").inputs
    if compared.get(CHAMPION_MODEL) == compared["model"]:
        return Decision(False, ALREADY_LIVE)
    reason = _reason(promotion)
    if accept is None:
        return Decision(False, f"{reason}; this run deploys nothing")
    return Decision(promotion.verdict in ACCEPTED[accept], f"{reason}; accepted is {accept}")


def _reason(promotion: Promotion) -> str:
    delta = promotion.delta
    measured = f"{delta.mean:+.4f} {metric_title(DECIDING_METRIC)}, interval {delta.low:+.4f} to {delta.high:+.4f}"
    return f"{promotion.verdict} against the {promotion.against} ({measured})"


def _promotion(evaluation: Path) -> Promotion:
    return read_record(evaluation / VERDICT_FILE, VerdictRecord).promotion
