"""`embedtune pipeline …` against a server that answers like Kubeflow Pipelines."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from embedtune.cli import cli
from pipelines.specification import COMPILED
from tests.support.kfp_server import FakeKfp, kfp_server

CPU = COMPILED / "finetune-cpu.yaml"
VERSION = f"embedtune-{hashlib.sha256(CPU.read_bytes()).hexdigest()[:12]}"
FIGURES = {"verdict": 1.0, "deployed": 1.0, "ndcg_at_10_base": 0.5, "ndcg_at_10_tuned": 0.625}


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKfp]:
    for module in ("runs", "watch"):
        monkeypatch.setattr(f"pipelines.{module}.sleep", lambda seconds: None)
    with kfp_server(FakeKfp()) as fake:
        monkeypatch.setenv("KFP_ENDPOINT", fake.url)
        yield fake


def pipeline(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["pipeline", *arguments], catch_exceptions=False)


def ok(*arguments: str) -> Any:
    done = pipeline(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ends(fake: FakeKfp, state: str, **tasks: str) -> None:
    """Let every run end at once, with these states of its tasks."""

    def end(run: dict[str, Any]) -> None:
        times = {"start_time": "2026-11-30T08:00:00Z", "end_time": "2026-11-30T08:01:05Z"}
        details = [{"display_name": name, "state": word, **times} for name, word in tasks.items()]
        run |= {"state": state, "finished_at": "2026-11-30T08:02:00Z", "run_details": {"task_details": details}}

    fake.on_create = end


def test_upload_registers_a_file_once_and_names_its_version_by_its_hash(kfp: FakeKfp) -> None:
    first = ok("upload", "--kind", "cpu")
    assert (first["pipeline"], first["version"], first["new"]) == ("finetune-cpu", VERSION, True)
    assert first["page"] == f"{kfp.url}/#/pipelines/details/{first['pipeline_id']}/version/{first['version_id']}"
    assert ok("upload", str(CPU)) == {**first, "new": False}
    assert "is there already" in pipeline("upload", "--kind", "cpu").stdout
    assert [entry["name"] for entry in kfp.versions] == [VERSION]


def test_upload_of_a_changed_file_adds_a_version_to_the_same_pipeline(kfp: FakeKfp, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(CPU.read_text().replace("embedtune/cpu:", "registry.example/team/cpu:"))
    first, second = ok("upload", str(CPU)), ok("upload", str(changed))
    assert first["pipeline_id"] == second["pipeline_id"] and first["version"] != second["version"]
    assert len(kfp.entries["pipelines"]) == 1


def test_upload_compiles_for_the_named_images(kfp: FakeKfp) -> None:
    ok("upload", "--kind", "cpu", "--registry", "registry.example/team", "--tag", "v7", "--name", "ours")
    containers = [
        executor["container"]["image"]
        for executor in kfp.versions[0]["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    ]
    assert set(containers) == {"registry.example/team/cpu:v7"}
    assert kfp.entries["pipelines"][0]["name"] == "ours"


def test_compile_writes_what_upload_would_register(tmp_path: Path) -> None:
    written = ok("compile", "--kind", "gpu", "--registry", "r.example", "--tag", "v7", "--output", str(tmp_path))
    assert written == {"written": [str(tmp_path / "finetune-gpu.yaml")]}
    assert "image: r.example/gpu:v7" in (tmp_path / "finetune-gpu.yaml").read_text()


def test_run_says_what_it_will_be_given_and_starts_it(kfp: FakeKfp, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("documents: s3://b/docs\nstorage_tls: false\noverrides: {train.epochs: 5}\n")
    done = pipeline("run", "--kind", "cpu", "--params", str(params), "--set", "preset=demo-cpu", "--name", "first")
    assert done.exit_code == 0, done.output
    (run,) = kfp.entries["runs"]
    assert run["display_name"] == "first"
    assert run["runtime_config"]["parameters"] == {
        "documents": "s3://b/docs",
        "storage_tls": False,
        "overrides": {"train.epochs": 5},
        "preset": "demo-cpu",
    }
    assert f"pipeline finetune-cpu, version {VERSION} (registered now)" in done.stderr
    assert "  preset: demo-cpu\n" in done.stderr and "  deploy_if: win (the pipeline's default)\n" in done.stderr
    assert f"first: started; to follow it: embedtune pipeline watch {run['run_id']}" in done.stdout
    assert f"{kfp.url}/#/runs/details/{run['run_id']}" in done.stdout


def test_the_command_line_wins_over_the_file(kfp: FakeKfp, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("documents: s3://b/old\n")
    ok("run", "--kind", "cpu", "--params", str(params), "--set", "documents=s3://b/new=1")
    assert kfp.entries["runs"][0]["runtime_config"]["parameters"] == {"documents": "s3://b/new=1"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("document: s3://b/docs", ["has no parameter document", "did you mean documents?"]),
        ("preset: minilm", ["needs a value for documents"]),
        ("documents: 7", ["documents has a value of the wrong type", 'documents: "7"']),
        ("{documents: a, storage_tls: 'no'}", ["storage_tls has a value of the wrong type", "true or false"]),
        ("{documents: a, eval_sets: human=s3://b/h}", ["eval_sets has a value of the wrong type", "a list"]),
        ("{documents: a, preset: minlm}", ["preset has none of its values", "did you mean minilm?"]),
        (
            "{documents: a, overrides: {train.epoch: 5}}",
            ["train.epoch: unknown key", "train.epochs?"],
        ),
        ("{documents: a, llm_url: 'http://a http://b'}", ["llm_url takes one value"]),
        ("{documents: a, eval_sets: ['a=s3://b/a b=s3://b/b']}", ["not one evaluation set"]),
        ("- documents", ["does not hold parameters"]),
        ("documents: [", ["cannot be read"]),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_started(
    kfp: FakeKfp, tmp_path: Path, content: str, says: list[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(content)
    done = pipeline("run", "--kind", "cpu", "--params", str(params))
    assert done.exit_code == 2
    for words in says:
        assert words in done.stderr
    assert not kfp.entries["runs"] and not kfp.entries["pipelines"]


def test_a_registered_pipeline_is_run_and_its_parameters_are_read_from_kubeflow(kfp: FakeKfp) -> None:
    ok("upload", str(CPU), "--name", "ours")
    done = pipeline("run", "--pipeline", "ours", "--set", "documnts=x")
    assert done.exit_code == 2 and "did you mean documents?" in done.stderr
    assert ok("run", "--pipeline", "ours", "--version", VERSION, "--set", "documents=x")["new"] is True
    assert len(kfp.versions) == 1
    assert "did you mean ours?" in pipeline("run", "--pipeline", "our", "--set", "documents=x").stderr


def test_once_starts_one_run_however_often_it_is_called(kfp: FakeKfp) -> None:
    once = ("run", "--kind", "cpu", "--set", "documents=x", "--once", "4f1c2a9")
    for name in ("other", "4F1C2A9", "4f1c2a"):  # KFP compares without regard to case
        kfp.add_run(name)
    first = ok(*once)
    assert first["new"] and first["run"] == "4f1c2a9"
    kfp.entries["runs"][-1]["storage_state"] = "ARCHIVED"
    again = ok(*once)
    assert again["run_id"] == first["run_id"] and not again["new"]
    assert len(kfp.entries["runs"]) == 4


def test_of_two_commands_at_the_same_moment_the_later_one_ends_its_own_run(kfp: FakeKfp) -> None:
    def race(own: dict[str, Any]) -> None:
        own["created_at"] = "2026-11-30T08:00:09Z"
        kfp.on_create = lambda run: None
        kfp.add_run("key", created_at="2026-11-30T08:00:08Z", run_id="theirs")

    kfp.on_create = race
    found = ok("run", "--kind", "cpu", "--set", "documents=x", "--once", "key")
    assert (found["run_id"], found["new"]) == ("theirs", False)
    assert {run["run_id"]: run["state"] for run in kfp.entries["runs"]}["theirs"] == "PENDING"
    assert [run["state"] for run in kfp.entries["runs"] if run["run_id"] != "theirs"] == ["CANCELED"]


def test_wait_ends_with_the_verdict_and_the_figures(kfp: FakeKfp) -> None:
    def end(run: dict[str, Any]) -> None:
        ends(kfp, "SUCCEEDED", prepare="SUCCEEDED", train="SUCCEEDED")
        kfp.on_create(run)
        kfp.figures[run["run_id"]] = FIGURES

    kfp.on_get = end
    done = pipeline("run", "--kind", "cpu", "--set", "documents=x", "--name", "r", "--wait")
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
    run = kfp.add_run("r", state="FAILED", pipeline_spec=yaml.safe_load(CPU.read_text().split("\n---\n")[0]))
    nodes = {
        "wf-1": {"id": "wf-1", "displayName": "generate", "type": "DAG", "phase": "Failed"},
        "wf-22": {
            "id": "wf-22",
            "displayName": "executor",
            "type": "Pod",
            "phase": "Failed",
            "boundaryID": "wf-1",
            "templateName": "system-container-impl",
            "message": "Error (exit code 1)",
        },
    }
    kfp.workflows[run["run_id"]] = {"metadata": {"name": "wf"}, "status": {"nodes": nodes}}
    kfp.logs["wf-system-container-impl-22"] = "asking\nLLMEndpointError: no answer\n  do:       start it\n"
    done = pipeline("watch", run["run_id"])
    assert done.exit_code == 1
    assert "the run r failed" in done.stderr
    assert "generate: Error (exit code 1)" in done.stderr and "LLMEndpointError: no answer" in done.stderr


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


def test_an_api_without_a_ui_has_no_figures_and_says_so(kfp: FakeKfp) -> None:
    kfp.ui = False
    run = kfp.add_run("r", state="SUCCEEDED")
    kfp.figures[run["run_id"]] = FIGURES
    assert ok("runs")[0] | {"verdict": None, "page": None} == ok("runs")[0]
    assert "--ui" in pipeline("runs").stderr
    assert ok("runs", "--ui", kfp.url)[0]["verdict"] == "WIN"


def test_a_schedule_has_seconds_pins_the_version_and_is_made_once(kfp: FakeKfp) -> None:
    weekly = ("run", "--kind", "cpu", "--set", "documents=x", "--schedule", "0 3 * * 1", "--once", "weekly")
    made = ok(*weekly)
    (entry,) = kfp.entries["recurringruns"]
    assert made["new"] and entry["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert entry["pipeline_version_reference"]["pipeline_version_id"] == kfp.versions[0]["pipeline_version_id"]
    assert (entry["max_concurrency"], entry["no_catchup"], entry["mode"]) == ("1", True, "ENABLE")
    assert ok(*weekly) == {**made, "new": False}
    other = pipeline(*weekly[:4], "documents=y", *weekly[5:])
    assert other.exit_code == 2 and "weekly with another parameters" in other.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--kind", "cpu", "--pipeline", "p"], "two pipelines were named"),
        ([str(CPU), "--registry", "r"], "a compiled pipeline names its images"),
        (["--version", "v"], "--pipeline NAME"),
        (["--once", "a", "--name", "b"], "the key of --once is the name"),
        (["--schedule", "0 3 * * 1", "--wait"], "a schedule does not end"),
        (["--kind", "cpu", "--set", "documents"], "--set NAME=VALUE"),
        (["--kind", "cpu", "--set", "documents=x", "--schedule", "daily"], "not a cron expression"),
        (["--kind", "cpu", "--set", "documents=x", "--set", "overrides={"], "overrides cannot be read"),
        (["nothing.yaml"], "there is no such file"),
        ([str(Path(__file__).parent / "__init__.py")], "there is no such file"),
    ],
)
def test_options_that_make_no_sense_are_refused(kfp: FakeKfp, options: list[str], says: str) -> None:
    done = pipeline("run", *options)
    assert done.exit_code == 2 and says in done.stderr, done.stderr
    assert not kfp.entries["runs"]
