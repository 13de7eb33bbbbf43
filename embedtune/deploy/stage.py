"""Stage deploy: build the release, publish it, make it live if it is better; back to the last one if it fails."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import Artifact, StageReport
from embedtune.core.config.config import Config
from embedtune.core.contract import load_contract, require_same
from embedtune.core.progress import Progress
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.deploy.gate import Decision, decide
from embedtune.deploy.reindex_plan import reindex_plan
from embedtune.deploy.rollout import Environment, go_live
from embedtune.deploy.site import endpoint_url, open_environment
from embedtune.deploy.smoke import Smoke
from embedtune.serve.release.build import build_release

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployed:
    """A release that went live.

    Args:
        release: Its id.
        before: What was live before it.
        smoke: What its endpoint gave.
    """

    release: str
    before: str | None
    smoke: Smoke


def run(engine: Path, evaluation: Path, dataset: Path, output: Path, context: Context) -> StageReport:
    """Make an engine live, if its model is better than what is live, and say so in the deployment artifact.

    It looks at the world each time: an artifact of an earlier call does not show what is live now.

    Args:
        engine: The engine artifact.
        evaluation: The evaluation artifact of the same model, with its verdict.
        dataset: The dataset artifact, whose size the re-index plan needs.
        output: Directory to write the deployment artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: The release failed; what was live before is live again.
        ArtifactError: The evaluation is about another model.
    """
    this = StageRun("deploy", output, context)
    inputs = this.read(engine=engine, evaluation=evaluation, dataset=dataset)
    config = context.config
    require_same(config.contract, load_contract(engine), str(engine))
    environment = open_environment(config, context.secrets, context.cache)
    decision = decide(inputs["engine"], inputs["evaluation"], environment.champion(), config.deploy)
    deployed = _deploy(inputs["engine"], environment, context.progress) if decision.deploy else None
    passages = inputs["dataset"].manifest.counts["passages"]
    return this.write(inputs, lambda path: _write(path, decision, deployed, environment, passages), reuse=False)


def _write(
    path: Path, decision: Decision, deployed: Deployed | None, environment: Environment, passages: int
) -> Outcome:
    record = _record(decision, deployed, environment.config)
    _write_json(path / "deployment.json", record)
    if deployed:
        _write_json(path / "endpoint.json", {"endpoint": record["endpoint"], **deployed.smoke.record()})
        _write_json(path / "reindex.json", _plan(environment, deployed, passages))
    return _outcome(decision, deployed)


def _deploy(engine: Artifact, environment: Environment, progress: Progress) -> Deployed:
    release = build_release(engine.path, environment.releases, environment.config.serve)
    if environment.store:
        origin = {"model": engine.manifest.inputs["model"], "engine": engine.fingerprint}
        environment.store.publish(release.path, origin)
    before = environment.before()
    smoke = go_live(environment, release.id, progress)
    return Deployed(release.id, before if before != release.id else None, smoke)


def _plan(environment: Environment, deployed: Deployed, passages: int) -> dict[str, Any]:
    release = environment.release(deployed.release)
    plan = reindex_plan(release, passages, deployed.smoke.passages_per_second, deployed.before)
    if environment.store:
        environment.store.add_plan(deployed.release, plan)
    return plan


def _record(decision: Decision, deployed: Deployed | None, config: Config) -> dict[str, Any]:
    record: dict[str, Any] = {
        "deployed": decision.deploy,
        "reason": decision.reason,
        "target": config.deploy.target,
        "endpoint": endpoint_url(config),
        "releases": config.release.uri,
    }
    return record | ({"release": deployed.release, "before": deployed.before} if deployed else {})


def _outcome(decision: Decision, deployed: Deployed | None) -> Outcome:
    counts = {"deployed": int(decision.deploy)}
    if deployed is None:
        return Outcome(counts, {"deployed": "no"}, (f"not deployed: {decision.reason}",))
    drift = deployed.smoke.record()
    return Outcome(
        counts,
        {
            "deployed": "yes",
            "release": deployed.release,
            "smoke_texts": drift["texts"],
            "min_cosine": drift["cosine"]["min"],
            "passages_per_second": drift["passages_per_second"],
        },
    )


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
