"""The whole pipeline under KFP's local runner: one process a task, artifacts handed over by KFP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import local

from embedtune.core.artifacts import read_artifact
from embedtune.runner import STAGES
from pipelines.finetune import finetune
from pipelines.resources import Target
from tests.openai_server import OpenAIServer
from tests.tiny_run import overrides, write_documents

# KFP says of each task that the local runner has no pods to give memory to, and no image named python.
pytestmark = pytest.mark.filterwarnings("ignore:Task '.*have no effect", "ignore:You may be attemping")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a tiny model gains nothing from more
    path = tmp_path / "root"
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(path), raise_on_error=True, enable_caching=True)
    yield path
    local.config.LocalExecutionConfig.instance = None


def test_the_whole_pipeline_runs_and_again_pays_nothing(root: Path, tmp_path: Path) -> None:
    documents, pipeline = str(write_documents(tmp_path / "documents")), finetune(Target("cpu", "test"))
    with OpenAIServer() as server:
        settings = overrides(tmp_path, server.url)
        for _ in range(2):
            pipeline(documents=documents, config="minilm", overrides=settings)
    written = {stage.artifact: list(root.glob(f"*/{stage.name}/{stage.artifact}")) for stage in STAGES}
    for name, paths in written.items():
        assert len(paths) == 1, name  # the second run took all from KFP's cache
        read_artifact(paths[0], name)
    questions = read_artifact(written["questions"][0], "questions").manifest
    assert server.completions == questions.report["metrics"]["calls"]
    verdict = json.loads((written["evaluation"][0] / "verdict.json").read_text())
    assert verdict["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    (page,) = root.glob("*/report/page")
    assert "<html" in page.read_text().lower()
