"""The compiled pipelines: edges, GPU nodes, secrets, images."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embedtune.core.config.load import base_names, preset_names
from embedtune.core.secrets import STORAGE_CA
from embedtune.core.stage import STAGES
from pipelines.compile import KINDS, compile_all, compile_one, main, stale
from pipelines.resources import NEEDS
from tests.support.compiled_pipeline import Compiled

FRAME = {"prepare", "encode", "report", "outcome"}  # the tasks of a pipeline in addition to the stages
USE_BASE_VECTORS = {"generate", "mine", "train", "evaluate"}
BEHIND_THE_VERDICT = {"export", "deploy"}
ALWAYS_AFTER_IT = "outcome"  # in both branches
TAG = "0123456789ab"
REGISTRY = "registry.example/team"
GPU_STAGES = {"encode", "mine", "train", "evaluate", "export"}


@pytest.fixture(autouse=True, scope="module")
def tag() -> Iterator[None]:
    # Sources that change while the tests run must not make them fail.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.compile.image_tag", lambda: TAG)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tag: None) -> Path:
    path = tmp_path_factory.mktemp("compiled")
    for kind in KINDS:
        compile_one(kind, path, REGISTRY)
    return path


@pytest.fixture(scope="module")
def gpu(folder: Path) -> Compiled:
    return Compiled(folder / "finetune-gpu.yaml")


@pytest.fixture(scope="module")
def cpu(folder: Path) -> Compiled:
    return Compiled(folder / "finetune-cpu.yaml")


@pytest.fixture(params=["gpu", "cpu"])
def each(request: pytest.FixtureRequest) -> Compiled:
    return request.getfixturevalue(request.param)


def test_the_edges_are_those_of_the_local_runner(each: Compiled) -> None:
    edges = {
        name: {
            (edge["taskOutputArtifact"]["producerTask"], artifact)
            for artifact, edge in artifacts.items()
            if artifact != "base_vectors"
        }
        for name, task in each.tasks.items()
        if name not in FRAME and (artifacts := task["inputs"].get("artifacts", {})) is not None
    }
    writer = {stage.artifact: stage.name for stage in STAGES}
    assert edges == {stage.name: {(writer[name], name) for name in stage.inputs} for stage in STAGES}
    for task in each.tasks.values():
        for name, edge in task["inputs"].get("artifacts", {}).items():
            assert edge["taskOutputArtifact"]["outputArtifactKey"] == name


def test_the_base_vectors_are_computed_once_for_all_who_need_them(each: Compiled) -> None:
    readers = {name for name, task in each.tasks.items() if "base_vectors" in task["inputs"].get("artifacts", {})}
    assert readers == USE_BASE_VECTORS
    for name in readers:
        edge = each.tasks[name]["inputs"]["artifacts"]["base_vectors"]["taskOutputArtifact"]
        assert edge == {"outputArtifactKey": "base_vectors", "producerTask": "encode"}
    given = each.tasks["encode"]["inputs"]
    assert set(given["artifacts"]) == {"chunks"}
    assert set(given["parameters"]) == {"config_yaml", "cache_dir"} or set(given["parameters"]) == {"config_yaml"}


def test_only_what_changes_the_live_service_depends_on_the_verdict(each: Compiled) -> None:
    assert set(each.inner) == BEHIND_THE_VERDICT | {ALWAYS_AFTER_IT}
    assert [task["taskInfo"]["name"] for task in each.kept.values()] == ["outcome-2"]
    assert each.condition["taskInfo"]["name"] == "better"
    name = "pipelinechannel--evaluate-Output"
    assert each.condition["triggerPolicy"]["condition"] == f"inputs.parameter_values['{name}'] == true"
    assert each.condition["inputs"]["parameters"][name]["taskOutputParameter"]["producerTask"] == "evaluate"
    wanted = each.tasks["evaluate"]["inputs"]["parameters"]["deploy_if"]["taskOutputParameter"]
    assert wanted == {"outputParameterKey": "deploy_if", "producerTask": "prepare"}


def test_the_report_reads_every_artifact_that_is_always_there(each: Compiled) -> None:
    always = {stage.artifact for stage in STAGES if stage.name not in BEHIND_THE_VERDICT}
    assert set(each.tasks["report"]["inputs"]["artifacts"]) == always
    deploys = each.tasks["report"]["inputs"]["parameters"]["deploys"]["taskOutputParameter"]
    assert deploys == {"outputParameterKey": "Output", "producerTask": "evaluate"}


def test_each_stage_gets_its_own_configuration(each: Compiled) -> None:
    for stage in STAGES:
        edge = each.tasks[stage.name]["inputs"]["parameters"]["config_yaml"]["taskOutputParameter"]
        assert edge == {"outputParameterKey": stage.name, "producerTask": "prepare"}


def test_only_tasks_that_read_or_change_the_outside_are_never_cached(each: Compiled) -> None:
    cached = {name for name, task in each.tasks.items() if task["cachingOptions"].get("enableCache")}
    assert set(each.tasks) - cached == {"prepare", "deploy"}


def test_gpu_stages_request_one_gpu_that_is_large_and_new_enough(gpu: Compiled) -> None:
    for name in GPU_STAGES:
        accelerator = gpu.container(name)["resources"]["accelerator"]
        assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
        platform = gpu.kubernetes[f"exec-{name}"]
        (affinity,) = platform["nodeAffinity"]
        assert "weight" not in affinity  # required, not preferred
        wanted = {rule["key"]: (rule["operator"], *rule["values"]) for rule in affinity["matchExpressions"]}
        assert wanted == {"nvidia.com/gpu.memory": ("Gt", "79000"), "nvidia.com/gpu.compute.major": ("Gt", "7")}
        assert platform["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        (shm,) = platform["emptyDirMounts"]
        assert (shm["mountPath"], shm["medium"]) == ("/dev/shm", "Memory")
        memory = gpu.container(name)["resources"]["resourceMemoryLimit"]
        assert int(memory.removesuffix("Gi")) > int(shm["sizeLimit"].removesuffix("Gi"))


@pytest.mark.parametrize(
    ("mib", "fits"), [(81920, True), (81559, True), (95830, True), (73728, False), (46068, False)]
)
def test_the_memory_limit_separates_80_gb_cards_from_smaller_ones(gpu: Compiled, mib: int, fits: bool) -> None:
    rules = gpu.kubernetes["exec-train"]["nodeAffinity"][0]["matchExpressions"]
    assert (mib > int(rules[0]["values"][0])) is fits


def test_only_the_gpu_stages_request_a_gpu(gpu: Compiled) -> None:
    for name in set(gpu.tasks) - GPU_STAGES:
        assert "accelerator" not in gpu.container(name)["resources"]
        assert not {"nodeAffinity", "tolerations", "emptyDirMounts"} & gpu.kubernetes[f"exec-{name}"].keys()
        assert "/cpu:" in gpu.container(name)["image"]


def test_the_cpu_pipeline_requests_no_gpu(cpu: Compiled) -> None:
    assert "nvidia" not in cpu.text.replace("nvidia/", "")
    assert "/gpu:" not in cpu.text
    assert "/dev/shm" not in cpu.text


def test_images_carry_the_hash_of_the_sources(each: Compiled) -> None:
    for name in each.tasks:
        image = each.container(name)["image"]
        assert image in {f"{REGISTRY}/cpu:{TAG}", f"{REGISTRY}/gpu:{TAG}"}


def test_nothing_is_installed_at_run_time(each: Compiled) -> None:
    assert "pip install" not in each.text


def test_credentials_reach_a_task_only_from_secrets(each: Compiled) -> None:
    from_secrets: dict[str, set[str]] = {}
    for name in each.tasks:
        assert not each.container(name).get("env")
        secrets = each.kubernetes[f"exec-{name}"].get("secretAsEnv", [])
        from_secrets[name] = {entry["envVar"] for secret in secrets for entry in secret["keyToEnv"]}
    store, hub = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}, {"HF_TOKEN"}
    llm = {"OPENAI_API_KEY", "JUDGE_API_KEY"}
    assert from_secrets == {
        "prepare": store | llm,
        "ingest": store | hub,
        "encode": store | hub,
        "generate": store | hub | llm,
        "split": store,  # for split.human_pairs
        "mine": store | hub,
        "train": store | hub,
        "evaluate": store | hub,
        "export": set(),
        "deploy": store | {"EMBEDTUNE_API_KEY"},
        "report": set(),
        "outcome": set(),
    }


def test_tasks_that_read_the_store_find_its_ca_and_every_task_the_proxies(each: Compiled) -> None:
    for name in each.tasks:
        given = each.kubernetes[f"exec-{name}"]
        reads_store = any(secret["secretName"] == "embedtune-storage" for secret in given.get("secretAsEnv", []))
        volumes = [
            (one["secretName"], one["mountPath"], one["optional"]) for one in given.get("secretAsVolume", [])
        ]
        assert volumes == ([("embedtune-storage-ca", str(STORAGE_CA.parent), True)] if reads_store else [])
        (proxy,) = given["configMapAsEnv"]
        assert (proxy["configMapName"], proxy["optional"]) == ("embedtune-proxy", True)
        assert {entry["envVar"] for entry in proxy["keyToEnv"]} == {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}


def test_no_parameter_takes_a_credential(each: Compiled) -> None:
    names = set(each.spec["root"]["inputDefinitions"]["parameters"])
    for component in each.spec["components"].values():
        names |= component.get("inputDefinitions", {}).get("parameters", {}).keys()
    words = {word for name in names for word in name.split("_")}
    assert not words & {"key", "token", "secret", "password", "credential"}


def test_every_parameter_is_described(each: Compiled) -> None:
    inputs = [each.spec["root"]["inputDefinitions"]]
    # Parameters that a condition passes on have no description.
    ours = [component for component in each.spec["components"].values() if "dag" not in component]
    inputs += [component.get("inputDefinitions", {}) for component in ours]
    for group in inputs:
        for name, entry in {**group.get("parameters", {}), **group.get("artifacts", {})}.items():
            assert entry.get("description"), name


def test_the_form_has_typed_fields_and_choices(each: Compiled) -> None:
    fields = each.spec["root"]["inputDefinitions"]["parameters"]
    types = {name: entry["parameterType"] for name, entry in fields.items()}
    special = {"storage_tls": "BOOLEAN", "eval_sets": "LIST", "overrides": "STRUCT"}
    assert types == {name: special.get(name, "STRING") for name in types}
    assert {name for name, entry in fields.items() if not entry.get("isOptional")} == {"documents"}
    choices = {name: entry["literals"] for name, entry in fields.items() if "literals" in entry}
    assert choices == {
        "preset": preset_names(),
        "base_model": ["from-preset", *base_names()],
        "deploy_if": ["win", "marginal", "never"],
    }
    for name, allowed in choices.items():
        assert fields[name]["defaultValue"] in allowed
    for name in ("documents", "llm_url", "llm_model", "storage_endpoint", "storage_tls"):
        assert name in each.spec["pipelineInfo"]["description"]


def test_artifacts_are_named_after_what_they_are(each: Compiled) -> None:
    names = [
        name
        for component in each.spec["components"].values()
        if "dag" not in component
        for name in component.get("outputDefinitions", {}).get("artifacts", {})
    ]
    names.remove("outcome")  # it is written in either branch
    assert len(names) == len(set(names))
    assert {f"{stage.name}_summary" for stage in STAGES} | {"outcome", "page"} <= set(names)
    assert not {"metrics", "summary"} & set(names)


def test_every_task_has_requests_a_time_limit_and_retries(each: Compiled) -> None:
    for name, task in each.tasks.items():
        resources = each.container(name)["resources"]
        assert resources["resourceCpuRequest"]
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"]
        assert int(each.kubernetes[f"exec-{name}"]["activeDeadlineSeconds"]) <= 36 * 3600
        assert task["retryPolicy"]["maxRetryCount"] == 2
        # A deadline for all attempts together: each may take as long as the first.
        seconds = int(each.kubernetes[f"exec-{name}"]["activeDeadlineSeconds"])
        assert task["retryPolicy"]["backoffMaxDuration"] == f"{3 * seconds}s"


def test_every_task_of_both_targets_has_its_needs(each: Compiled) -> None:
    for needs in NEEDS.values():
        assert set(needs) == set(each.tasks)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_command_writes_what_its_check_accepts(folder: Path, tmp_path: Path) -> None:
    assert command("--output", str(tmp_path)).exit_code == 0
    renamed = {name: text.replace(REGISTRY, "embedtune") for name, text in read_all(folder).items()}
    assert read_all(tmp_path) == renamed
    assert command("--check", "--output", str(tmp_path)).exit_code == 0


def test_the_check_names_changed_and_missing_files_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    changed = (folder / "finetune-gpu.yaml").read_text().replace("'79000'", "'1'")
    (tmp_path / "finetune-gpu.yaml").write_text(changed)
    result = command("--check", "--output", str(tmp_path))
    assert result.exit_code == 1
    assert "stale: finetune-gpu.yaml, finetune-cpu.yaml" in result.output
    assert read_all(tmp_path) == {"finetune-gpu.yaml": changed}


def test_a_changed_source_makes_the_files_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_all(tmp_path)
    assert stale(tmp_path) == []
    monkeypatch.setattr("pipelines.compile.image_tag", lambda: "f" * 12)
    assert stale(tmp_path) == ["finetune-gpu.yaml", "finetune-cpu.yaml"]


def read_all(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.iterdir()}
