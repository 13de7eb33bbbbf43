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


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "root"
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(path), raise_on_error=True, enable_caching=True)
    yield path
    local.config.LocalExecutionConfig.instance = None


def test_the_whole_pipeline_runs_and_again_only_what_changed(root: Path, tmp_path: Path) -> None:
    documents, pipeline = str(write_documents(tmp_path / "documents")), finetune(Target("cpu", "test"))
    with OpenAIServer() as server:
        settings = overrides(tmp_path, server.url)
        pipeline(documents=documents, config="minilm", overrides=settings)
        paid = server.completions
        pipeline(documents=documents, config="minilm", overrides=f"{settings}\nevaluate.examples=1")
    assert server.completions == paid > 0
    written = {stage.artifact: sorted(root.glob(f"*/{stage.name}/{stage.artifact}")) for stage in STAGES}
    for name, paths in written.items():
        assert len(paths) == (2 if name == "evaluation" else 1), name
        read_artifact(paths[-1], name)
    verdict = json.loads((written["evaluation"][-1] / "verdict.json").read_text())
    assert verdict["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    for page in root.glob("*/report/page"):
        assert "<html" in page.read_text().lower()
