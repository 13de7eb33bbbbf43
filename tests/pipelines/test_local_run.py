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
    # Without caching, or KFP would take results of earlier tests.
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(tmp_path / "root"), raise_on_error=True)
    yield tmp_path / "root"
    local.config.LocalExecutionConfig.instance = None


def test_the_whole_pipeline_runs(root: Path, tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents")
    with OpenAIServer() as server:
        finetune(Target("cpu", "test"))(
            documents=str(documents), config="minilm", overrides=overrides(tmp_path, server.url)
        )
    written = {stage.artifact: list(root.glob(f"*/{stage.name}/{stage.artifact}")) for stage in STAGES}
    for name, paths in written.items():
        assert len(paths) == 1, name
        read_artifact(paths[0], name)
    verdict = json.loads((written["evaluation"][0] / "verdict.json").read_text())
    assert verdict["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    (page,) = root.glob("*/report/page")
    assert "<html" in page.read_text().lower()
