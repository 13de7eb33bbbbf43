"""One run for each commit that asks for one: what makes a Job another Job, and a run another run."""

import json
import re
import shutil
from pathlib import Path

import pytest

from embedtune.core.errors import ConfigError, EmbedtuneError
from pipelines.actions import FailedRunError
from pipelines.cli import pipeline
from tests.charts.embedtune.conftest import (
    CHART,
    Objects,
    Render,
    container,
    environment,
    key,
    named,
    of_kind,
    pod_spec,
    run_job,
)


def test_nothing_is_started_without_parameters(render: Render) -> None:
    objects = render("pipeline.register=none", values={})
    assert not of_kind(objects, "Job")
    assert not of_kind(objects, "CronJob")


@pytest.mark.parametrize(
    "setting",
    [
        "retrain.parameters.preset=demo-cpu",
        "retrain.parameters.overrides.seed=1",
        "retrain.again=1",
        "pipeline.kind=gpu",
        "images.registry=elsewhere",
        "secrets.llm=other",
    ],
)
def test_what_changes_a_run_starts_another_one(render: Render, setting: str) -> None:
    before, after = run_job(render()), run_job(render(setting))
    assert key(before) != key(after)
    assert before["metadata"]["name"] != after["metadata"]["name"]


@pytest.mark.parametrize(
    "setting",
    [
        "jobs.resources.limits.memory=2Gi",
        "kfp.endpoint=http://ml-pipeline-ui.kubeflow.svc",
        "jobs.podLabels.team=search",
        "images.pullPolicy=Always",
        "kfp.multiUser=true",
        "jobs.retries=2",
    ],
)
def test_what_changes_only_the_job_is_another_job_for_the_same_run(render: Render, setting: str) -> None:
    # A Job's pods cannot be changed: an upgrade that tried to would fail.
    before, after = run_job(render()), run_job(render(setting))
    assert key(before) == key(after)
    assert before["spec"] != after["spec"]
    assert before["metadata"]["name"] != after["metadata"]["name"]


@pytest.mark.parametrize(
    "setting",
    ["retrain.commit=f00", "networkPolicy.enabled=false", "schedule.cron=@daily", "runs.artifactSecret=x"],
)
def test_a_commit_that_changes_something_else_changes_neither(render: Render, setting: str) -> None:
    before, after = run_job(render("pipeline.register=none")), run_job(render("pipeline.register=none", setting))
    assert before == after


def about(objects: Objects) -> str:
    text: str = named(objects, "ConfigMap", "embedtune-run-")["data"]["about"]
    return text


def test_a_run_says_which_commit_values_images_and_documents_it_is_of(render: Render) -> None:
    objects = render("retrain.commit=0a1b2c3")
    tag = container(run_job(objects))["image"].rpartition(":")[2]
    matched = re.fullmatch(
        rf"commit 0a1b2c3, values ([0-9a-f]{{12}}), images {tag}, documents {{documents}}", about(objects)
    )
    assert matched
    assert about(render("retrain.commit=f00")) == about(objects).replace("0a1b2c3", "f00")
    assert matched[1] not in about(render("retrain.commit=0a1b2c3", "jobs.retries=2"))
    # Kubernetes puts it in; it is in no field that cannot be changed.
    assert "--description=$(ABOUT)" in container(run_job(objects))["args"]
    reference = environment(run_job(objects))["ABOUT"]["configMapKeyRef"]
    assert reference == {"name": key(run_job(objects)), "key": "about"}


@pytest.mark.parametrize("version", ["0.1.0+0123456789ab", "0.1.0+0123456789ab.2"])  # .2 if it has valuesFiles
def test_flux_adds_the_commit_to_the_charts_version(render: Render, tmp_path: Path, version: str) -> None:
    copy = tmp_path / "embedtune"
    shutil.copytree(CHART, copy)
    (copy / "Chart.yaml").write_text(
        (CHART / "Chart.yaml").read_text().replace("version: 0.1.0\n", f"version: {version}\n", 1)
    )
    objects = render(chart=copy)
    assert about(objects).startswith("commit 0123456789ab, ")
    assert run_job(objects)["spec"] == run_job(render())["spec"]


def test_a_folder_of_a_volume_has_no_version_that_a_job_could_read(render: Render) -> None:
    objects = render("retrain.parameters.documents=/data/docs")
    assert "{documents}" not in about(objects)
    assert not [name for name in environment(run_job(objects)) if name.startswith("AWS_")]
    with pytest.raises(ValueError, match=r"schedule\.when: new-documents needs documents in an object store"):
        render("retrain.parameters.documents=/data/docs", "schedule.cron=@daily")


def test_parameters_arrive_as_they_were_written(render: Render) -> None:
    parameters = {
        "documents": "s3://b/é 'quoted' \"double\" {{ braces }}",
        "storage_tls": False,
        "eval_sets": ["human=s3://b/sets"],
        "overrides": {
            "train.epochs": 5,
            "train.learning_rate": 2e-05,
            "generate": {"max_cost": 1000000},
            "x": "1",
        },
    }
    objects = render(values={"retrain": {"parameters": parameters}})
    (config,) = [item for item in of_kind(objects, "ConfigMap") if "params.json" in item["data"]]
    assert json.loads(config["data"]["params.json"]) == parameters
    mounts = {item["mountPath"]: item["name"] for item in container(run_job(objects))["volumeMounts"]}
    volumes = {item["name"]: item for item in pod_spec(run_job(objects))["volumes"]}
    assert volumes[mounts["/config"]]["configMap"]["name"] == config["metadata"]["name"]


def test_no_job_is_created_again_by_hooks_or_by_its_end(render: Render) -> None:
    objects = render("schedule.cron=@daily")
    assert "hook" not in json.dumps(list(objects.values())).replace("webhook", "")
    jobs = [item["spec"] for item in of_kind(objects, "Job")]
    jobs += [item["spec"]["jobTemplate"]["spec"] for item in of_kind(objects, "CronJob")]
    assert len(jobs) == 3
    assert not any("ttlSecondsAfterFinished" in spec for spec in jobs)


def test_a_failed_run_fails_its_job_at_once_and_says_why(render: Render) -> None:
    job = run_job(render())
    disrupted, failed = job["spec"]["podFailurePolicy"]["rules"]
    assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"]["containerName"] == container(job)["name"]
    assert failed["onExitCodes"]["values"] == [ConfigError.exit_code, FailedRunError.exit_code]
    assert EmbedtuneError.exit_code not in failed["onExitCodes"]["values"]  # KFP did not answer
    assert container(job)["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert pod_spec(job)["restartPolicy"] == "Never"  # podFailurePolicy needs it
    assert job["spec"]["podReplacementPolicy"] == "Failed"


def test_a_scheduled_run_needs_new_documents_or_else_has_a_key_of_its_own(render: Render) -> None:
    plain = key(run_job(render()))
    new = named(render("schedule.cron=@daily"), "CronJob", "embedtune-schedule")
    always = named(render("schedule.cron=@daily", "schedule.when=always"), "CronJob", "embedtune-schedule")
    assert plain in run_job(render())["metadata"]["name"]
    assert key(new["spec"]["jobTemplate"]) == f"{plain}-{{documents}}"
    # Kubernetes puts in the Job's name, which is that of the scheduled time.
    assert key(always["spec"]["jobTemplate"]) == "$(JOB_NAME)"
    field = environment(always["spec"]["jobTemplate"])["JOB_NAME"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['batch.kubernetes.io/job-name']"
    assert new["spec"]["concurrencyPolicy"] == "Forbid"


def test_jobs_get_the_keys_of_the_store_from_a_secret(render: Render) -> None:
    wanted = {"secretKeyRef": {"name": "mine", "key": "access-key", "optional": True}}
    assert environment(run_job(render("secrets.storage=mine")))["AWS_ACCESS_KEY_ID"] == wanted


def test_a_schedule_needs_parameters(render: Render) -> None:
    with pytest.raises(ValueError, match=r"schedule\.cron: set retrain\.parameters"):
        render("schedule.cron=@daily", values={})


def test_a_multi_user_kfp_gets_the_namespace_and_a_token_for_itself_alone(render: Render) -> None:
    job = run_job(render("kfp.multiUser=true", "kfp.caSecret=kfp-ca"))
    assert "--namespace=team" in container(job)["args"]
    assert "--ca-file=/etc/embedtune/kfp-ca/ca.crt" in container(job)["args"]
    volumes = {item["name"]: item for item in pod_spec(job)["volumes"]}
    (source,) = volumes["kfp-token"]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    assert environment(job)["KFP_TOKEN_FILE"] == "/var/run/secrets/kfp/token"
    single = run_job(render())
    assert not [word for word in container(single)["args"] if "namespace" in word]
    assert "token" not in json.dumps(single)


def test_a_job_does_not_give_up_while_its_version_is_being_created(render: Render) -> None:
    job = run_job(render("pipeline.register=kubernetes"))
    assert job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [FailedRunError.exit_code]
    words = container(job)["args"]
    version = named(render("pipeline.register=kubernetes"), "PipelineVersion", "")["metadata"]["name"]
    assert "--pipeline=finetune-cpu" in words and f"--version={version}" in words


@pytest.mark.parametrize(
    "settings", [(), ("kfp.multiUser=true", "kfp.caSecret=ca", "pipeline.register=kubernetes")]
)
def test_the_command_has_these_options(render: Render, settings: tuple[str, ...]) -> None:
    for job in of_kind(render(*settings), "Job"):
        group, name, *words = container(job)["args"]
        command = pipeline.commands[name]
        options = {word for option in command.params for word in option.opts}
        assert group == pipeline.name
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options
