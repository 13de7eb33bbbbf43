"""The chart that registers the pipeline and starts runs, rendered by helm."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHART as SERVING_CHART

CHART = SERVING_CHART.parent / "embedtune"
REQUIRED = ("kfp.endpoint=http://ml-pipeline.kubeflow.svc:8888",)
PARAMETERS = {"documents": "s3://handbook/docs", "storage_endpoint": "minio.store.svc:9000"}
A_RUN = {"retrain": {"parameters": PARAMETERS}}

Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]


def load_all(text: str) -> Iterator[Any]:
    """Parse YAML documents; the pipelines are long, and Python's own parser slow."""
    return yaml.load_all(text, Loader=yaml.CSafeLoader)  # type: ignore[no-any-return]


@cache
def template(
    helm: str, *settings: str, values: str = "{}", chart: Path = CHART, release: str = "embedtune"
) -> str:
    """Return the manifests of an installation; raise helm's error message if it fails.

    Args:
        helm: The program.
        settings: As for --set.
        values: Further values, as JSON.
        chart: The chart.
        release: Name of the installation.
    """
    words = [word for setting in (*REQUIRED, *settings) for word in ("--set", setting)]
    return helm_template(helm, release, chart, "-f", "-", *words, values=values)


def helm_template(helm: str, release: str, chart: Path, *options: str, values: str = "") -> str:
    """Return the manifests of an installation; raise helm's error message if it fails."""
    command = [helm, "template", release, str(chart), "--namespace", "team", *options]
    done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


@pytest.fixture(scope="session")
def render(helm: str) -> Render:
    """Return the rendered objects by kind and name."""

    def render(*settings: str, values: Mapping[str, Any] = A_RUN, chart: Path = CHART) -> Objects:
        text = template(helm, *settings, values=json.dumps(values), chart=chart)
        objects = [item for item in load_all(text) if item]
        by_name = {(item["kind"], item["metadata"]["name"]): item for item in objects}
        assert len(by_name) == len(objects)
        return by_name

    return render


def of_kind(objects: Objects, kind: str) -> list[dict[str, Any]]:
    return [item for (found, _), item in objects.items() if found == kind]


def named(objects: Objects, kind: str, start: str) -> dict[str, Any]:
    """Return the only object of a kind whose name starts like this."""
    (found,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"].startswith(start)]
    return found


def run_job(objects: Objects) -> dict[str, Any]:
    return named(objects, "Job", "embedtune-run-")


def pod_spec(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod_spec(job)["containers"]
    return dict(found)


def environment(job: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(job)["env"]}


def key(job: dict[str, Any]) -> str:
    """Return the key by which a Job asks KFP whether its run exists."""
    (found,) = [word.removeprefix("--once=") for word in container(job)["args"] if word.startswith("--once=")]
    return str(found)
