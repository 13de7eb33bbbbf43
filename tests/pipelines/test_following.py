"""`embedtune pipeline watch`, `runs` and `run --wait`: what they show of a run, and how they end."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kfp_commands import SMALL, ok, pipeline
from tests.support.kfp_server import FakeKfp

LOG = """I1130 08:55:20.000001      15 launcher_v2.go:151] begin
asking
[KFP Executor 2026-11-30 08:55:28,213 ERROR]: LLMEndpointError: no answer
  do:       start it
I1130 08:55:29.943863      15 object_store.go:231] uploadFile
Error: exit status 1
time=2026-11-30T08:55:31.470Z level=INFO msg="sub-process exited" argo=true
"""
FIGURES = {"verdict": 1.0, "deployed": 1.0, "ndcg_at_10_base": 0.5, "ndcg_at_10_tuned": 0.625}


def ends(fake: FakeKfp, state: str, **tasks: str) -> None:
    """Let every run end at once, with these states of its tasks."""

    def end(run: dict[str, Any]) -> None:
        times = {"start_time": "2026-11-30T08:00:00Z", "end_time": "2026-11-30T08:01:05Z"}
        details = [{"display_name": name, "state": word, **times} for name, word in tasks.items()]
        run |= {"state": state, "finished_at": "2026-11-30T08:02:00Z", "run_details": {"task_details": details}}

    fake.on_create = end


def test_wait_ends_with_the_verdict_and_the_figures(kfp: FakeKfp, small: str) -> None:
    def end(run: dict[str, Any]) -> None:
        ends(kfp, "SUCCEEDED", prepare="SUCCEEDED", train="SUCCEEDED")
        kfp.on_create(run)
        kfp.figures[run["run_id"]] = FIGURES

    kfp.on_get = end
    done = pipeline("run", small, "--set", "documents=x", "--name", "r", "--wait")
    assert done.exit_code == 0, done.output
    assert "train done 1 min 5 s" in done.stderr
    assert "r: WIN, deployed after 2 min 0 s; nDCG@10: base 0.5000, tuned 0.6250" in done.stdout


def test_a_verdict_that_is_not_a_win_is_no_failure(kfp: FakeKfp) -> None:
    run = kfp.add_run("r", state="SUCCEEDED", finished_at="2026-11-30T08:02:00Z")
    kfp.figures[run["run_id"]] = {**FIGURES, "verdict": -1.0, "deployed": 0.0, "ndcg_at_10_champion": 0.75}
    done = pipeline("watch", "r")
    assert done.exit_code == 0
    assert "r: REGRESSION, not deployed" in done.stdout and "champion 0.7500" in done.stdout


def test_a_run_that_fails_ends_with_the_error_of_its_task(kfp: FakeKfp) -> None:
    run = kfp.add_run("r", state="FAILED", pipeline_spec=yaml.safe_load(SMALL))
    nodes = {
        "wf-1": {"id": "wf-1", "displayName": "train(0)", "type": "DAG", "phase": "Failed"},
        "wf-22": {
            "id": "wf-22",
            "displayName": "executor(0)",
            "type": "Pod",
            "phase": "Failed",
            "boundaryID": "wf-1",
            "templateName": "system-container-impl",
            "message": "Error (exit code 1)",
        },
    }
    kfp.workflows[run["run_id"]] = {
        "metadata": {"name": "wf", "namespace": "kubeflow"},
        "status": {"nodes": nodes},
    }
    kfp.logs["wf-system-container-impl-22"] = LOG
    for kfp.ui in (True, False):
        done = pipeline("watch", run["run_id"])
        assert done.exit_code == 3
        assert "the run r failed\ntrain: Error (exit code 1)\n  | LLMEndpointError: no answer" in done.stderr
        assert "  |   do:       start it\n" in done.stderr and "sub-process" not in done.stderr


def test_a_pod_that_cannot_begin_says_why_once(kfp: FakeKfp) -> None:
    message = "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    node = {"id": "wf-1", "displayName": "train-driver(0)", "type": "Pod", "phase": "Pending", "message": message}
    run = kfp.add_run("r", state="RUNNING", pipeline_spec=yaml.safe_load(SMALL))
    kfp.workflows[run["run_id"]] = {"status": {"nodes": {"wf-1": node}}}
    reads = iter(range(20))
    kfp.on_get = lambda run: run.update(state="SUCCEEDED" if next(reads) > 15 else "RUNNING")
    done = pipeline("watch", "r")
    assert done.exit_code == 0
    assert done.stderr.count(f"train waits: {message}") == 1


def test_following_survives_a_server_that_is_away_for_a_while(kfp: FakeKfp) -> None:
    run = kfp.add_run("r", state="RUNNING")
    kfp.failing += [503, 502]
    kfp.on_get = lambda run: ends(kfp, "SUCCEEDED") or kfp.on_create(run)  # type: ignore[func-returns-value]
    assert pipeline("watch", run["run_id"]).exit_code == 1  # the look-up itself does not wait
    assert ok("watch", "r")["state"] == "SUCCEEDED"


def test_interrupting_leaves_the_run_going_and_says_how_to_follow_it_again(
    kfp: FakeKfp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    run = kfp.add_run("r", state="RUNNING")
    monkeypatch.setattr("pipelines.watch.sleep", interrupted)
    done = pipeline("watch", "r")
    assert done.exit_code == 130
    assert f"the run goes on; to follow it again: embedtune pipeline watch {run['run_id']}" in done.stderr
    assert run["state"] == "RUNNING"


def test_runs_lists_the_newest_first_with_their_figures(kfp: FakeKfp) -> None:
    for number in range(5):
        run = kfp.add_run(f"run-{number}", state="SUCCEEDED", finished_at="2026-11-30T09:00:00Z")
        kfp.figures[run["run_id"]] = FIGURES
    kfp.entries["runs"][4]["storage_state"] = "ARCHIVED"
    records = ok("runs", "--limit", "3")
    assert [record["run"] for record in records] == ["run-3", "run-2", "run-1"]
    assert records[0]["verdict"] == "WIN" and records[0]["ndcg_at_10"]["tuned"] == 0.625
    shown = pipeline("runs").stdout
    assert "succeeded" in shown and "WIN" in shown and "0.6250" in shown


def test_a_run_that_ended_well_did_so_even_if_its_figures_cannot_be_read(kfp: FakeKfp) -> None:
    kfp.add_run("r", state="SUCCEEDED")
    kfp.metadata_is_away = True
    done = pipeline("watch", "r")
    assert done.exit_code == 0 and "r: ended well" in done.stdout
    assert "figures of runs cannot be read" in done.stderr
    kfp.add_run("s", state="SUCCEEDED")
    listed = pipeline("runs")  # one request is enough to know it
    assert listed.exit_code == 0 and listed.stderr.count("figures of runs cannot be read") == 1


def test_an_api_without_a_ui_has_no_figures_and_says_so(kfp: FakeKfp) -> None:
    kfp.ui = False
    run = kfp.add_run("r", state="SUCCEEDED")
    kfp.figures[run["run_id"]] = FIGURES
    assert ok("runs")[0] | {"verdict": None, "page": None} == ok("runs")[0]
    assert "--ui" in pipeline("runs").stderr
    assert ok("runs", "--ui", kfp.url)[0]["verdict"] == "WIN"


def test_a_token_that_was_replaced_is_read_again(kfp: FakeKfp, tmp_path: Path) -> None:
    token = tmp_path / "token"
    kfp.token = "first"
    token.write_text("first")
    kfp.add_run("r", state="RUNNING")

    def replace(run: dict[str, Any]) -> None:
        run["state"] = "SUCCEEDED" if kfp.token == "second" else "RUNNING"
        kfp.token = "second"
        token.write_text("second")

    kfp.on_get = replace
    assert ok("watch", "r", "--token-file", str(token))["state"] == "SUCCEEDED"
