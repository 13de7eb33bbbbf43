"""Retraining without anybody who types the champion: each run finds what is live, and deploys when it wins."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.export.component import export
from components.prepare.component import prepare
from embedtune.core.artifacts import read_manifest
from embedtune.core.contract import load_contract
from embedtune.core.records.base import read_record
from embedtune.core.records.deployment import DEPLOYMENT_FILE, Deployment
from embedtune.deploy import rollout
from embedtune.serve.replica import state
from embedtune.serve.store import pointer
from embedtune.serve.store.store import ReleaseStore
from tests.support.base_vectors import no_base_vectors
from tests.support.object_store import ENDPOINT, SECRETS, STORAGE, a_bucket
from tests.support.openai_server import OpenAIServer
from tests.support.prepare_form import form
from tests.support.replicas import a_replica, following, vectors_by_graph
from tests.support.retrained_models import make_distracted_model, write_dataset, write_model
from tests.support.tiny_model import TINY_DIMENSION, tiny_contract


class Retraining:
    """One release store, and one run after the other as Kubeflow would run it, from evaluate on."""

    def __init__(self, folder: Path, releases: str, llm: str) -> None:
        self.folder, self.releases, self.llm = folder, releases, llm
        self.base = make_distracted_model(folder / "base", 5.0)
        self.contract = tiny_contract(self.base, (TINY_DIMENSION,))
        self.dataset = dsl.Dataset(uri=str(write_dataset(folder / "dataset")))
        self.store = ReleaseStore(releases, STORAGE, SECRETS)
        (folder / "documents").mkdir()
        (folder / "documents" / "a.md").write_text("# A")

    def prepared(self, **fields: Any) -> dict[str, str]:
        values = prepare.python_func(
            **form(
                documents=str(self.folder / "documents"),
                llm_url=self.llm,
                llm_model="test",
                storage_endpoint=ENDPOINT or "",
                storage_tls=False,
                release_uri=self.releases,
                overrides={
                    "contract": self.contract.model_dump(mode="json", exclude_none=True)
                    | {"weights_sha256": "null"},
                    "deploy.target": "kubernetes",
                    "evaluate.interval_samples": 500,
                    "runtime.device": "cpu",
                },
                **fields,
            )
        )
        return dict(zip(prepare.component_spec.outputs or {}, values, strict=True))

    def model(self, name: str, distraction: float) -> Path:
        path = self.folder / name
        return path if path.is_dir() else write_model(path, self.contract, distraction)

    def run(self, name: str, model: Path, **fields: Any) -> Deployment | str:
        """Return the deployment, or why the run ended before it."""
        work, given = self.folder / f"run-{name}", self.prepared(**fields)
        trained = dsl.Model(uri=str(model))
        evaluation, engine, deployed = (
            dsl.Model(uri=str(work / kind)) for kind in ("evaluation", "engine", "deployment")
        )
        summary = dsl.Markdown(uri=str(work / "summary.md"))
        work.mkdir()
        goes_on = evaluate.python_func(
            given["evaluate"],
            given["eval_sets"],
            given["champion"],
            given["comparisons_version"],
            given["deploy_if"],
            self.dataset,
            trained,
            dsl.Artifact(uri=str(no_base_vectors(work / "base_vectors"))),
            evaluation,
            summary,
        )
        if not goes_on:
            return Path(summary.path).read_text().splitlines()[2]
        export.python_func(given["export"], trained, self.dataset, engine, summary)
        deploy.python_func(given["deploy"], engine, evaluation, self.dataset, trained, deployed, summary)
        return read_record(work / "deployment" / DEPLOYMENT_FILE, Deployment)

    def against(self, name: str) -> str:
        promotion = json.loads((self.folder / f"run-{name}" / "evaluation" / "verdict.json").read_text())
        return str(promotion["promotion"]["against"])


@pytest.fixture
def retraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retraining]:
    monkeypatch.setattr(pointer, "AHEAD_S", 0.6)
    monkeypatch.setattr(state, "FENCE_S", 0.5)
    monkeypatch.setattr(rollout, "POLL_S", 0.02)
    with OpenAIServer() as server:
        if ENDPOINT is None:
            yield Retraining(tmp_path, str(tmp_path / "store"), server.url)
            return
        with a_bucket() as bucket:
            yield Retraining(tmp_path, f"s3://{bucket.name}/releases", server.url)


def test_three_retrainings_in_a_row_deploy_when_they_win_and_the_fourth_does_not(
    retraining: Retraining, tmp_path: Path
) -> None:
    replica = a_replica(retraining.store, tmp_path / "replica")
    replica.loader.embed = vectors_by_graph
    before: Deployment | None = None
    assert retraining.prepared()["champion"] == ""
    with following(replica):
        for name, distraction in (("first", 2.5), ("second", 1.5), ("third", 0.0)):
            model = retraining.model(name, distraction)
            done = retraining.run(name, model)
            assert isinstance(done, Deployment), done
            assert done.deployed and done.before == (before.release if before else None)
            assert retraining.against(name) == ("champion" if before else "base")
            assert replica.answers() == done.release == retraining.store.pointer().live
            live = retraining.store.live_release()
            assert live is not None and live.model == read_manifest(model, "model").fingerprint
            before = done
        # Nothing has changed: the same model is compared with itself.
        again = retraining.run("again", tmp_path / "third")
        assert again == "The run ends here, nothing is deployed: this model is already live."
        # Better than the base, but not than what is live.
        worse = retraining.run("worse", retraining.model("worse", 1.5))
        assert "REGRESSION against the champion" in str(worse)
        assert replica.answers() == before.release
    _a_run_that_could_not_deploy_is_refused(retraining, tmp_path)


def _a_run_that_could_not_deploy_is_refused(retraining: Retraining, tmp_path: Path) -> None:
    found = retraining.prepared()["champion"]
    assert found.startswith(f"{retraining.releases}/data/")
    # The address is understood as the Kubeflow UI shows it, and another model than the live one is not.
    shown = found.replace("s3://", "minio://")
    assert retraining.prepared(champion=shown)["champion"] == found
    for champion in (str(tmp_path / "second"), str(tmp_path / "dataset"), "s3://nowhere-at-all/model"):
        with pytest.raises(SystemExit):
            retraining.prepared(champion=champion)
    assert retraining.prepared(champion=str(tmp_path / "second"), deploy_if="never")["champion"]
    live = retraining.store.live_release()
    assert live is not None
    retraining.store.objects.delete([f"models/{live.model}.json"])
    with pytest.raises(SystemExit):
        retraining.prepared()
    assert retraining.prepared(deploy_if="never")["champion"] == ""
    retraining.store.objects.delete(["pointer.json"])
    with pytest.raises(SystemExit):
        retraining.prepared()


def test_a_champion_whose_files_were_changed_decides_nothing(retraining: Retraining, tmp_path: Path) -> None:
    champion = retraining.model("champion", 2.5)
    assert load_contract(champion) == retraining.contract
    (champion / "config.json").write_text((champion / "config.json").read_text() + " ")
    with pytest.raises(SystemExit):
        retraining.run("first", retraining.model("first", 0.0), champion=str(champion), deploy_if="never")
