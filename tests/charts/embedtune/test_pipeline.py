"""The pipeline in the chart: the committed one, under the names of this installation, as KFP gets it."""

import hashlib

import pytest

from pipelines.compile import COMPILED, KINDS
from tests.charts.embedtune.conftest import CHART, Objects, Render, container, load_all, named, of_kind, run_job


def pipeline_text(objects: Objects) -> str:
    (found,) = [item for item in of_kind(objects, "ConfigMap") if "pipeline.yaml" in item["data"]]
    text: str = found["data"]["pipeline.yaml"]
    return text


@pytest.mark.parametrize("kind", KINDS)
def test_the_charts_pipeline_is_the_committed_one(render: Render, kind: str) -> None:
    committed = (COMPILED / f"finetune-{kind}.yaml").read_text()
    assert (CHART / "files" / f"finetune-{kind}.yaml").read_text() == committed
    assert pipeline_text(render(f"pipeline.kind={kind}")) == committed


def test_the_chart_has_files_and_no_links_since_flux_leaves_links_out() -> None:
    assert not [path for path in CHART.rglob("*") if path.is_symlink()]


def test_its_version_is_named_by_the_hash_of_its_text(render: Render) -> None:
    text = pipeline_text(render())
    version = named(render("pipeline.register=kubernetes"), "PipelineVersion", "embedtune-")
    assert version["metadata"]["name"] == f"embedtune-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def test_kfp_in_its_kubernetes_mode_gets_both_documents_of_the_file(render: Render) -> None:
    objects = render("pipeline.register=kubernetes")
    pipeline, version = named(objects, "Pipeline", "finetune"), named(objects, "PipelineVersion", "embedtune-")
    spec, platform = load_all((COMPILED / "finetune-cpu.yaml").read_text())
    assert version["spec"]["pipelineSpec"] == spec
    assert version["spec"]["platformSpec"] == platform
    assert pipeline["metadata"]["name"] == version["spec"]["pipelineName"] == "finetune-cpu"
    assert not [item for item in of_kind(objects, "Job") if "upload" in container(item)["args"]]


def test_a_version_outlives_the_commit_that_replaces_it_since_runs_refer_to_it(render: Render) -> None:
    objects = render("pipeline.register=kubernetes")
    for item in of_kind(objects, "Pipeline") + of_kind(objects, "PipelineVersion"):
        assert item["metadata"]["annotations"] == {
            "helm.sh/resource-policy": "keep",
            "argocd.argoproj.io/sync-options": "Prune=false",
        }


def test_otherwise_a_job_uploads_it_and_another_pipeline_is_another_job(render: Render) -> None:
    cpu = named(render(), "Job", "embedtune-register-")
    gpu = named(render("pipeline.kind=gpu"), "Job", "embedtune-register-")
    assert container(cpu)["args"][:3] == ["pipeline", "upload", "/pipeline/pipeline.yaml"]
    assert cpu["metadata"]["name"] != gpu["metadata"]["name"]
    assert not of_kind(render("pipeline.register=none", values={}), "Job")


def test_images_and_secrets_have_the_names_of_this_installation(render: Render) -> None:
    objects = render(
        "images.registry=registry.example:5000/team/embedtune",
        "secrets.storage=minio-keys",
        "secrets.llm=vllm",
        "pipeline.kind=gpu",
    )
    own, ours = pipeline_text(objects), (COMPILED / "finetune-gpu.yaml").read_text()
    spec, platform = load_all(own)
    images = {item["container"]["image"] for item in spec["deploymentSpec"]["executors"].values()}
    (tag,) = {image.rpartition(":")[2] for image in images}
    assert images == {f"registry.example:5000/team/embedtune/{kind}:{tag}" for kind in ("cpu", "gpu")}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    secrets = [secret for item in executors for secret in item.get("secretAsEnv", [])]
    assert {item["secretName"] for item in secrets} == {
        "minio-keys",
        "vllm",
        "embedtune-hub",
        "embedtune-endpoint",
    }
    for item in secrets:
        assert item["secretNameParameter"]["runtimeValue"]["constant"] == item["secretName"]
    # Nothing else differs.
    back = own.replace("registry.example:5000/team/embedtune/", "embedtune/")
    assert back.replace("minio-keys", "embedtune-storage").replace(" vllm\n", " embedtune-llm\n") == ours


def test_a_secret_may_have_the_usual_name_of_another_one(render: Render) -> None:
    objects = render("secrets.endpoint=embedtune-llm", "secrets.llm=vllm", "pipeline.kind=gpu")
    expected = (COMPILED / "finetune-gpu.yaml").read_text().replace(" embedtune-llm\n", " vllm\n")
    assert pipeline_text(objects) == expected.replace(" embedtune-endpoint\n", " embedtune-llm\n")


def test_jobs_run_the_image_of_the_pipelines_cpu_tasks(render: Render) -> None:
    spec = next(load_all((COMPILED / "finetune-cpu.yaml").read_text()))
    image = spec["deploymentSpec"]["executors"]["exec-prepare"]["container"]["image"]
    assert container(run_job(render()))["image"] == image
    moved = container(run_job(render("images.registry=r.example")))["image"]
    assert moved == image.replace("embedtune/", "r.example/")


def test_a_pipeline_of_ones_own_takes_the_place_of_the_charts(render: Render) -> None:
    text = (COMPILED / "finetune-cpu.yaml").read_text().replace("finetune-cpu", "finetune-team")
    values = {"pipeline": {"compiled": text, "register": "kubernetes"}}
    objects = render(values=values)
    assert pipeline_text(objects) == text
    assert named(objects, "Pipeline", "")["metadata"]["name"] == "finetune-team"
