"""What `embedtune pipeline compile` is told: a claim for the cache, and a queue for GPU tasks."""

from pathlib import Path

from click.testing import CliRunner

from pipelines.cli import pipeline
from pipelines.compile import compile_one
from pipelines.resources import NEEDS
from tests.support.compiled_pipeline import Compiled

REGISTRY = "registry.example/team"
QUEUE = "kueue.x-k8s.io/queue-name"


def test_a_claim_for_the_cache_is_mounted_in_the_tasks_that_resume(tmp_path: Path) -> None:
    found = Compiled(compile_one("cpu", tmp_path, REGISTRY, cache_claim="ours"))
    mounted = {name.removeprefix("exec-") for name, pod in found.kubernetes.items() if "pvcMount" in pod}
    assert mounted == {name for name, need in NEEDS["cpu"].items() if need.cache}
    given = found.tasks["generate"]["inputs"]["parameters"]["cache_dir"]
    assert given["runtimeValue"]["constant"] == "/cache"


def queues(found: Compiled) -> dict[str, str]:
    labels = {name.removeprefix("exec-"): pod["podMetadata"]["labels"] for name, pod in found.kubernetes.items()}
    return {name: given[QUEUE] for name, given in labels.items() if QUEUE in given}


def test_gpu_tasks_wait_in_the_queue_that_is_named(tmp_path: Path) -> None:
    command = ["compile", "--kind", "gpu", "--registry", REGISTRY, "--tag", "v1", "--queue", "team-a"]
    done = CliRunner().invoke(pipeline, [*command, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = queues(Compiled(tmp_path / "finetune-gpu.yaml"))
    assert found == {name: "team-a" for name, need in NEEDS["gpu"].items() if need.gpu}


def test_without_a_queue_no_task_names_one(tmp_path: Path) -> None:
    assert queues(Compiled(compile_one("gpu", tmp_path, REGISTRY))) == {}
