"""The whole pipeline under KFP's local runner: one process per task, artifacts passed on by KFP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import local

from embedtune.core.artifacts import read_artifact
from embedtune.core.stage import STAGES
from embedtune.deploy.local_replica import LocalReplica
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.server import free_ports
from pipelines.finetune import finetune
from pipelines.resources import Target
from tests.support.object_store import ENDPOINT, SECRETS, STORAGE, a_bucket, needs_server
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import settings, write_documents

RUNS = 2

# KFP warns for each task that the local runner has no pods to give memory to, and no image called python.
pytestmark = pytest.mark.filterwarnings("ignore:Task '.*have no effect", "ignore:You may be attemping")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a tiny model is no faster with more
    path = tmp_path / "root"
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(path), raise_on_error=True, enable_caching=True)
    yield path
    local.config.LocalExecutionConfig.instance = None


def artifacts(root: Path) -> dict[str, list[Path]]:
    return {stage.artifact: list(root.glob(f"*/{stage.name}/{stage.artifact}")) for stage in STAGES}


def outcomes(root: Path) -> list[float]:
    """Return whether the runs deployed something; a run has one outcome, from the branch that it took."""
    return [json.loads(path.read_text())["deployed"] for path in root.glob("*/outcome*/outcome")]


def test_the_whole_pipeline_runs_and_a_second_run_repeats_no_work(root: Path, tmp_path: Path) -> None:
    documents, pipeline = str(write_documents(tmp_path / "documents")), finetune(Target("cpu", "test"))
    with OpenAIServer() as server:
        given = settings(tmp_path, server.url)
        for _ in range(RUNS):
            pipeline(documents=documents, preset="minilm", overrides=given)
    written = artifacts(root)
    # Without a release store nothing is deployed, whatever the verdict.
    assert [name for name, paths in written.items() if not paths] == ["engine", "deployment"]
    for name, paths in written.items():
        for path in paths:
            read_artifact(path, name)
        assert len(paths) <= 1, name  # the second run got everything from KFP's cache
    questions = read_artifact(written["questions"][0], "questions").manifest
    # Each run asks the LLM once in its first component, whatever the cache holds: does it answer with this key?
    assert server.completions == questions.report.metrics["calls"] + RUNS
    verdict = json.loads((written["evaluation"][0] / "verdict.json").read_text())
    assert verdict["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    assert outcomes(root) == [0]
    (page,) = root.glob("*/report/page")
    assert "<html" in page.read_text().lower()


@needs_server
def test_a_model_that_the_verdict_accepts_goes_live(root: Path, tmp_path: Path) -> None:
    documents, pipeline = str(write_documents(tmp_path / "documents")), finetune(Target("cpu", "test"))
    port = next(port for port in free_ports(20) if port % 3 == 0)
    with OpenAIServer() as server, a_bucket() as bucket:
        try:
            for _ in range(RUNS):  # champion stays empty: the second run finds what the first has made live
                pipeline(
                    documents=documents,
                    preset="minilm",
                    storage_endpoint=ENDPOINT,
                    storage_tls=False,
                    release_uri=f"s3://{bucket.name}/releases",
                    deploy_if="marginal",
                    overrides=settings(tmp_path, server.url) | {"deploy.port": port},
                )
            live = ReleaseStore(f"s3://{bucket.name}/releases", STORAGE, SECRETS).pointer().live
        finally:
            LocalReplica(port, 60).stop()
    written = artifacts(root)
    # The branch runs only if the verdict is accepted, as it is with this corpus and seed.
    first, second = sorted(written["evaluation"], key=lambda path: path.stat().st_mtime)
    verdicts = [json.loads((path / "verdict.json").read_text()) for path in (first, second)]
    assert verdicts[0]["verdict"] != "REGRESSION"
    assert [verdict["promotion"]["against"] for verdict in verdicts] == ["base", "champion"]
    read_artifact(written["engine"][0], "engine")
    record = json.loads(
        (read_artifact(written["deployment"][0], "deployment").path / "deployment.json").read_text()
    )
    assert record["deployed"] is True
    assert record["release"] == live
    assert sorted(outcomes(root)) == [0, 1]
    summary = second.with_name("evaluate_summary").read_text()
    assert "nothing is deployed: this model is already live." in summary
