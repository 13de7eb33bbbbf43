"""Stage deploy: build and publish a release, have every replica prove it, and make it live if it is better."""

from pathlib import Path

from embedtune.core.artifacts import Artifact, StageReport
from embedtune.core.contract import load_contract, require_same
from embedtune.core.progress import Progress
from embedtune.core.records.base import write_record
from embedtune.core.records.deployment import DEPLOYMENT_FILE, DRIFT_FILE, REINDEX_FILE, Deployment
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.deploy.gate import Decision, decide, require_same_model
from embedtune.deploy.reindex_plan import reindex_plan
from embedtune.deploy.rollout import Rollout, go_live
from embedtune.deploy.site import ServingSite, endpoint_url, open_site
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import Release, short


def run(engine: Path, evaluation: Path, dataset: Path, model: Path, output: Path, context: Context) -> StageReport:
    """Make an engine live, if its model is better than the live model, and write the deployment artifact.

    It checks which release is live each time, because the artifact of an earlier call does not show that.

    Args:
        engine: The engine artifact.
        evaluation: The evaluation artifact of the same model, with its verdict.
        dataset: The dataset artifact, whose size the re-index plan needs.
        model: The model artifact, which is stored with the release: the next model is compared with it.
        output: Directory to write the deployment artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: The release failed; what was live before is live.
        ArtifactError: The evaluation is about another model, or the record of the live release is unreadable.
    """
    this = StageRun("deploy", output, context)
    inputs = this.read(engine=engine, evaluation=evaluation, dataset=dataset, model=model)
    config = context.config
    require_same(config.contract, load_contract(engine), str(engine))
    require_same_model(inputs["engine"], {"model": inputs["model"].fingerprint})
    site = open_site(config, context.secrets, context.cache)
    decision = decide(inputs["engine"], inputs["evaluation"], site.champion(), config.deploy)
    release = build_release(engine, site.built, config.serve, config.deploy, config.export)
    rollout = _deploy(release, inputs["model"], site, context.progress) if decision.deploy else None
    passages = inputs["dataset"].manifest.counts["passages"]

    def write(path: Path) -> Outcome:
        write_record(path / DEPLOYMENT_FILE, _record(decision, rollout, site))
        if rollout:
            write_record(path / DRIFT_FILE, rollout.drift)
            plan = reindex_plan(release, passages, rollout.drift.passages_per_second, rollout.before)
            site.store.add_plan(rollout.release.id, plan)
            write_record(path / REINDEX_FILE, plan)
        return _outcome(decision, rollout)

    return this.write(inputs, write, reuse=False)


def _deploy(release: Release, model: Artifact, site: ServingSite, progress: Progress) -> Rollout:
    site.store.add_model(model)  # first, so that no release is live whose model is lost
    site.store.publish(release, model.fingerprint)
    return go_live(site, release.id, progress, hold=site.deploy.flip == "manual")


def _record(decision: Decision, rollout: Rollout | None, site: ServingSite) -> Deployment:
    return Deployment(
        deployed=rollout is not None and rollout.live,
        reason=decision.reason,
        target=site.deploy.target,
        endpoint=endpoint_url(site.deploy),
        releases=site.store.objects.uri,
        release=rollout.release.id if rollout else None,
        before=rollout.before if rollout else None,
    )


def _outcome(decision: Decision, rollout: Rollout | None) -> Outcome:
    counts = {"deployed": int(rollout is not None and rollout.live)}
    if rollout is None:
        return Outcome(counts, {"deployed": "no"}, (f"not deployed: {decision.reason}",))
    name = short(rollout.release.id)
    notes = () if rollout.live else (f"it answers as candidate: `embedtune release flip {name}` makes it live",)
    return Outcome(
        counts,
        {
            "deployed": "yes" if rollout.live else "candidate",
            "release": name,
            "smoke_texts": rollout.drift.texts,
            "min_cosine": rollout.drift.cosine.min,
            "passages_per_second": rollout.drift.passages_per_second,
        },
        notes,
    )
