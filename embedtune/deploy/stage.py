"""Stage deploy: build and publish a release, make it live if it is better, and go back if it fails."""

import logging
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import Artifact, StageReport
from embedtune.core.config.config import Config
from embedtune.core.contract import load_contract, require_same
from embedtune.core.progress import Progress
from embedtune.core.records.base import write_record
from embedtune.core.records.deployment import DEPLOYMENT_FILE, DRIFT_FILE, REINDEX_FILE, Deployment, EndpointDrift
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.deploy.gate import Decision, decide
from embedtune.deploy.reindex_plan import reindex_plan
from embedtune.deploy.rollout import go_live
from embedtune.deploy.site import ServingSite, endpoint_url, open_site
from embedtune.deploy.smoke import Smoke
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import Release

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployed:
    """A release that went live.

    Args:
        release: The release.
        before: Id of the release that was live before it; None if there was none.
        smoke: The result of its smoke test.
        drift: The same result, as written to endpoint.json.
    """

    release: Release
    before: str | None
    smoke: Smoke
    drift: EndpointDrift


def run(engine: Path, evaluation: Path, dataset: Path, output: Path, context: Context) -> StageReport:
    """Make an engine live, if its model is better than the live model, and write the deployment artifact.

    It checks which release is live each time, because the artifact of an earlier call does not show that.

    Args:
        engine: The engine artifact.
        evaluation: The evaluation artifact of the same model, with its verdict.
        dataset: The dataset artifact, whose size the re-index plan needs.
        output: Directory to write the deployment artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: The release failed; the previous release is live again.
        ArtifactError: The evaluation is about another model, or the record of the live release is unreadable.
    """
    this = StageRun("deploy", output, context)
    inputs = this.read(engine=engine, evaluation=evaluation, dataset=dataset)
    config = context.config
    require_same(config.contract, load_contract(engine), str(engine))
    site = open_site(config, context.secrets, context.cache)
    decision = decide(inputs["engine"], inputs["evaluation"], site.champion(), config.deploy)
    deployed = _deploy(inputs["engine"], site, config, context.progress) if decision.deploy else None
    passages = inputs["dataset"].manifest.counts["passages"]

    def write(path: Path) -> Outcome:
        write_record(path / DEPLOYMENT_FILE, _record(decision, deployed, config))
        if deployed:
            write_record(path / DRIFT_FILE, deployed.drift)
            _write_plan(path / REINDEX_FILE, site, deployed, passages)
        return _outcome(decision, deployed)

    return this.write(inputs, write, reuse=False)


def _deploy(engine: Artifact, site: ServingSite, config: Config, progress: Progress) -> Deployed:
    release = build_release(engine.path, site.releases, config.serve)
    if site.store:
        site.store.publish(release, engine.manifest.inputs["model"])
    before = site.before()
    smoke = go_live(site, release, progress)
    drift = smoke.drift(endpoint_url(config.deploy))
    return Deployed(release, before if before != release.id else None, smoke, drift)


def _write_plan(file: Path, site: ServingSite, deployed: Deployed, passages: int) -> None:
    plan = reindex_plan(deployed.release, passages, deployed.smoke.passages_per_second, deployed.before)
    if site.store:
        site.store.add_plan(deployed.release.id, plan)
    write_record(file, plan)


def _record(decision: Decision, deployed: Deployed | None, config: Config) -> Deployment:
    return Deployment(
        deployed=decision.deploy,
        reason=decision.reason,
        target=config.deploy.target,
        endpoint=endpoint_url(config.deploy),
        releases=config.release.uri,
        release=deployed.release.id if deployed else None,
        before=deployed.before if deployed else None,
    )


def _outcome(decision: Decision, deployed: Deployed | None) -> Outcome:
    counts = {"deployed": int(decision.deploy)}
    if deployed is None:
        return Outcome(counts, {"deployed": "no"}, (f"not deployed: {decision.reason}",))
    return Outcome(
        counts,
        {
            "deployed": "yes",
            "release": deployed.release.id,
            "smoke_texts": deployed.drift.texts,
            "min_cosine": deployed.drift.cosine.min,
            "passages_per_second": deployed.drift.passages_per_second,
        },
    )
