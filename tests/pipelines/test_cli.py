"""`embedtune pipeline compile`, `upload` and `run` against a server that answers like Kubeflow Pipelines."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from pipelines.specification import COMPILED, version_name
from tests.support.kfp_commands import ok, pipeline
from tests.support.kfp_server import FakeKfp

CPU = COMPILED / "finetune-cpu.yaml"
VERSION = f"embedtune-{hashlib.sha256(CPU.read_bytes()).hexdigest()[:12]}"


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


def test_run_says_what_it_will_be_given_and_starts_it(kfp: FakeKfp, small: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("documents: s3://b/docs\nstorage_tls: false\noverrides: {train.epochs: 5}\n")
    done = pipeline("run", small, "--params", str(params), "--set", "preset=demo-cpu", "--name", "first")
    assert done.exit_code == 0, done.output
    (run,) = kfp.entries["runs"]
    assert run["display_name"] == "first"
    assert run["runtime_config"]["parameters"] == {
        "documents": "s3://b/docs",
        "storage_tls": False,
        "overrides": {"train.epochs": 5},
        "preset": "demo-cpu",
    }
    assert f"pipeline small, version {version_name(Path(small))} (registered now)" in done.stderr
    assert '  overrides: {"train.epochs": 5}\n  preset: demo-cpu\n  storage_tls: false\n' in done.stderr
    assert "preset: minilm (the pipeline's default)" in pipeline("run", small, "--set", "documents=x").stderr
    assert f"first: started; to follow it: embedtune pipeline watch {run['run_id']}" in done.stdout
    assert f"{kfp.url}/#/runs/details/{run['run_id']}" in done.stdout


def test_the_command_line_wins_over_the_file(kfp: FakeKfp, small: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("documents: s3://b/old\n")
    ok("run", small, "--params", str(params), "--set", "documents=s3://b/new=1")
    assert kfp.entries["runs"][0]["runtime_config"]["parameters"] == {"documents": "s3://b/new=1"}


def test_a_wrong_parameter_is_refused_before_anything_is_registered_or_started(
    kfp: FakeKfp, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    for content, says in (
        ("document: s3://b/docs", "did you mean documents?"),
        ("{documents: a, overrides: {train.epoch: 5}}", "did you mean train.epochs?"),
        ("- documents", "does not hold parameters"),
        ("documents: [", "cannot be read"),
    ):
        params.write_text(content)
        done = pipeline("run", "--kind", "cpu", "--params", str(params))
        assert done.exit_code == 2 and says in done.stderr
    assert not kfp.entries["runs"] and not kfp.entries["pipelines"]


def test_a_registered_pipeline_is_run_and_its_parameters_are_read_from_kubeflow(kfp: FakeKfp, small: str) -> None:
    ok("upload", small, "--name", "ours")
    done = pipeline("run", "--pipeline", "ours", "--set", "documnts=x")
    assert done.exit_code == 2 and "did you mean documents?" in done.stderr
    assert (
        ok("run", "--pipeline", "ours", "--version", version_name(Path(small)), "--set", "documents=x")["new"]
        is True
    )
    assert len(kfp.versions) == 1
    assert "did you mean ours?" in pipeline("run", "--pipeline", "our", "--set", "documents=x").stderr


def test_once_starts_one_run_however_often_it_is_called(kfp: FakeKfp, small: str) -> None:
    once = ("run", small, "--set", "documents=x", "--once", "4f1c2a9")
    for name in ("other", "4F1C2A9", "4f1c2a"):  # KFP compares without regard to case
        kfp.add_run(name)
    first = ok(*once)
    assert first["new"] and first["run"] == "4f1c2a9"
    kfp.entries["runs"][-1]["storage_state"] = "ARCHIVED"
    again = ok(*once)
    assert again["run_id"] == first["run_id"] and not again["new"]
    assert len(kfp.entries["runs"]) == 4


def test_of_two_commands_at_the_same_moment_the_later_one_ends_its_own_run(kfp: FakeKfp, small: str) -> None:
    def race(own: dict[str, Any]) -> None:
        own["created_at"] = "2026-11-30T08:00:09Z"
        kfp.on_create = lambda run: None
        kfp.add_run("key", created_at="2026-11-30T08:00:08Z", run_id="theirs")

    kfp.on_create = race
    found = ok("run", small, "--set", "documents=x", "--once", "key")
    assert (found["run_id"], found["new"]) == ("theirs", False)
    assert {run["run_id"]: run["state"] for run in kfp.entries["runs"]}["theirs"] == "PENDING"
    assert [run["state"] for run in kfp.entries["runs"] if run["run_id"] != "theirs"] == ["CANCELED"]


def test_a_schedule_has_seconds_pins_the_version_and_is_made_once(kfp: FakeKfp, small: str) -> None:
    weekly = ("run", small, "--set", "documents=x", "--schedule", "0 3 * * 1", "--once", "weekly")
    made = ok(*weekly)
    (entry,) = kfp.entries["recurringruns"]
    assert made["new"] and entry["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert entry["pipeline_version_reference"]["pipeline_version_id"] == kfp.versions[0]["pipeline_version_id"]
    assert (entry["max_concurrency"], entry["no_catchup"], entry["mode"]) == ("1", True, "ENABLE")
    assert ok(*weekly) == {**made, "new": False}
    other = pipeline(*weekly, "--set", "documents=y")
    assert other.exit_code == 2 and "another recurring run weekly: not the same parameters" in other.stderr
    account = pipeline(*weekly, "--service-account", "trainer")
    assert account.exit_code == 2 and "not the same service account" in account.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--kind", "cpu", "--pipeline", "p"], "two pipelines were named"),
        ([str(CPU), "--registry", "r"], "a compiled pipeline names its images"),
        (["--version", "v"], "--pipeline NAME"),
        (["--once", "a", "--name", "b"], "the key of --once is the name"),
        (["--schedule", "0 3 * * 1", "--wait"], "a schedule does not end"),
        (["SMALL", "--set", "documents"], "--set NAME=VALUE"),
        (["SMALL", "--set", "documents=x", "--schedule", "daily"], "not a cron expression"),
        (["SMALL", "--set", "documents=x", "--set", "overrides={"], "overrides cannot be read"),
        (["nothing.yaml"], "there is no such file"),
        ([str(Path(__file__).parent / "__init__.py")], "there is no such file"),
    ],
)
def test_options_that_make_no_sense_are_refused(kfp: FakeKfp, small: str, options: list[str], says: str) -> None:
    done = pipeline("run", *(small if option == "SMALL" else option for option in options))
    assert done.exit_code == 2 and says in done.stderr, done.stderr
    assert not kfp.entries["runs"]


def test_a_kubeflow_of_several_users_needs_a_namespace_and_a_token(
    kfp: FakeKfp, small: str, tmp_path: Path
) -> None:
    kfp.multi_user, kfp.token = True, "first"
    run = ("run", small, "--set", "documents=x", "--once", "key", "--namespace", "team")
    assert "does not know who is asking" in pipeline(*run).stderr and "--token-file" in pipeline(*run).stderr
    token = tmp_path / "token"
    assert "cannot be read" in pipeline(*run, "--token-file", str(token)).stderr
    token.write_text("first\n")
    assert "--namespace" in pipeline(*run[:-2], "--token-file", str(token)).stderr
    assert ok(*run, "--token-file", str(token))["new"]
    assert kfp.entries["experiments"][0]["namespace"] == "team" and kfp.tokens_seen[-1] == "Bearer first"


@pytest.mark.parametrize(
    ("endpoint", "code", "says"),
    [
        ("", 2, "no server of Kubeflow Pipelines is named"),
        ("localhost:8080", 2, "the endpoint is not a URL"),
        ("http://127.0.0.1:9", 1, "does not answer"),
    ],
)
def test_an_endpoint_that_cannot_be_used_says_what_to_do(endpoint: str, code: int, says: str) -> None:
    done = CliRunner().invoke(cli, ["pipeline", "runs", "--endpoint", endpoint])
    assert done.exit_code == code and says in done.stderr


@pytest.mark.parametrize(("command", "module"), [(["runs"], "kfp_server_api"), (["compile"], "kfp")])
def test_without_the_extra_a_command_names_it(
    kfp: FakeKfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], module: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in (module, "pipelines")]:
        if name == "pipelines.compile" or not name.startswith("pipelines"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    done = pipeline(*command)
    assert done.exit_code == 2 and "pip install 'embedtune[pipelines]'" in done.stderr
