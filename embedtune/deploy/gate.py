"""May this engine go live? The verdict's answer, and whether it speaks of this engine and of what is live."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import Artifact
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.errors import ArtifactError

ACCEPTED = {"win": {"WIN"}, "marginal": {"WIN", "MARGINAL"}}


@dataclass(frozen=True)
class Decision:
    """Whether a challenger is deployed, and why.

    Args:
        deploy: It is.
        reason: One sentence for the report.
    """

    deploy: bool
    reason: str


def decide(engine: Artifact, evaluation: Artifact, live_model: str | None, settings: DeploySettings) -> Decision:
    """Apply the rule: better than what is live, or as good if `deploy.accept` says so.

    Args:
        engine: The challenger.
        evaluation: Its comparison with the base and, if there is one, with the champion.
        live_model: Fingerprint of the model artifact that is live now; None if nothing is.
        settings: What is accepted.

    Raises:
        ArtifactError: The evaluation is about another model than the engine.
    """
    model = engine.manifest.inputs["model"]
    if (judged := evaluation.manifest.inputs["model"]) != model:
        raise ArtifactError(
            "the evaluation is about another model than the engine",
            got=f"evaluated {judged[:16]}, exported {model[:16]}",
            fix="run evaluate and export on the same model",
        )
    if live_model == model:
        return Decision(True, "this model is live already")
    promotion = _promotion(evaluation.path)
    against, verdict = promotion["against"], promotion["verdict"]
    if live_model is not None and against != "champion":
        return Decision(
            False, "another model is live and the evaluation did not compare with it (evaluate with --champion)"
        )
    delta = promotion["delta"]
    measured = f"{delta['mean']:+.4f} nDCG@10, interval {delta['low']:+.4f} to {delta['high']:+.4f}"
    if accepts(evaluation.path, settings.accept):
        return Decision(True, f"{verdict} against the {against}: {measured}")
    return Decision(False, f"{verdict} against the {against} ({measured}), and deploy.accept is {settings.accept}")


def accepts(evaluation: Path, accept: str) -> bool:
    """Tell whether the verdict on replacing what is live is one that is deployed.

    Args:
        evaluation: The evaluation artifact.
        accept: A value of `deploy.accept`.
    """
    return _promotion(evaluation)["verdict"] in ACCEPTED[accept]


def _promotion(evaluation: Path) -> dict[str, Any]:
    promotion: dict[str, Any] = json.loads((evaluation / "verdict.json").read_text())["promotion"]
    return promotion
