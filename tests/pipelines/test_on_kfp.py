"""`embedtune pipeline …` on a real server: EMBEDTUNE_TEST_KFP=http://host:port, its UI or its API."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embedtune.cli import cli

ENDPOINT = os.environ.get("EMBEDTUNE_TEST_KFP", "")
pytestmark = [
    pytest.mark.kfp,
    pytest.mark.skipif(
        not ENDPOINT, reason="no Kubeflow Pipelines: EMBEDTUNE_TEST_KFP=http://host:port is not set"
    ),
]


@pytest.fixture(scope="module")
def name() -> Iterator[str]:
    """Yield a name that nothing on the server has, and remove what got it."""
    from kfp_server_api import ApiClient, Configuration, PipelineServiceApi, RecurringRunServiceApi, RunServiceApi

    from pipelines.server import equals

    made = f"embedtune-test-{uuid.uuid4().hex[:8]}"
    yield made
    client = ApiClient(Configuration(host=ENDPOINT))
    runs, recurring, pipelines = RunServiceApi(client), RecurringRunServiceApi(client), PipelineServiceApi(client)
    found: dict[str, Any] = {"filter": equals("display_name", made)}
    for run in runs.run_service_list_runs(**found).runs or ():
        runs.run_service_delete_run(run.run_id)
    for entry in recurring.recurring_run_service_list_recurring_runs(**found).recurring_runs or ():
        recurring.recurring_run_service_delete_recurring_run(entry.recurring_run_id)
    for entry in pipelines.pipeline_service_list_pipelines(**found).pipelines or ():
        pipelines.pipeline_service_delete_pipeline(entry.pipeline_id, cascade=True)


def pipeline(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["pipeline", *arguments, "--json"], env={"KFP_ENDPOINT": ENDPOINT})
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_compiled_file_is_registered_once_and_run_once(name: str, tmp_path: Path) -> None:
    (path,) = pipeline("compile", "--kind", "cpu", "--tag", "none", "--output", str(tmp_path))["written"]
    first = pipeline("upload", path, "--name", name)
    assert first["new"] and pipeline("upload", path, "--name", name) == {**first, "new": False}

    run = ("run", "--pipeline", name, "--set", "documents=s3://none/none", "--once", name)
    started = pipeline(*run)
    assert started["new"] and started["run"] == name
    assert pipeline(*run)["run_id"] == started["run_id"]
    assert started["run_id"] in [record["run_id"] for record in pipeline("runs")]


def test_a_schedule_is_made_once(name: str, tmp_path: Path) -> None:
    (path,) = pipeline("compile", "--kind", "cpu", "--tag", "none", "--output", str(tmp_path))["written"]
    pipeline("upload", path, "--name", name)
    weekly = ("run", "--pipeline", name, "--set", "documents=s3://none/none", "--once", name)
    made = pipeline(*weekly, "--schedule", "0 3 1 1 *")
    assert made["new"] and made["schedule"] == "0 0 3 1 1 *"
    assert pipeline(*weekly, "--schedule", "0 3 1 1 *") == {**made, "new": False}
