"""The chart, rendered by helm."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "triton"
CLUSTER_TOOL = Path.home() / ".cache" / "cluster" / "bin"
REQUIRED = ("image.tag=1f0c", "storage.endpoint=minio.store:9000")

Objects = dict[str, dict[str, Any]]
Render = Callable[..., Objects]


def find_tool(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(CLUSTER_TOOL))


@pytest.fixture(scope="session")
def helm() -> str:
    if found := find_tool("helm"):
        return found
    pytest.skip("helm is not installed")


@cache
def template(helm: str, *settings: str, files: tuple[str, ...] = (), apis: tuple[str, ...] = ()) -> str:
    """Return the manifests of an installation named embedtune; raise helm's error message if it fails."""
    command = [helm, "template", "embedtune", str(CHART), "--namespace", "serving"]
    command += [word for name in files for word in ("-f", str(CHART / name))]
    command += [word for setting in (*REQUIRED, *settings) for word in ("--set", setting)]
    command += [word for api in apis for word in ("--api-versions", api)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


@pytest.fixture(scope="session")
def render(helm: str) -> Render:
    """Return the rendered objects by kind; the Pod is the one of `helm test`."""

    def render(*settings: str, **more: Any) -> Objects:
        objects = [item for item in yaml.safe_load_all(template(helm, *settings, **more)) if item]
        by_kind = {item["kind"]: item for item in objects}
        assert len(by_kind) == len(objects)
        return by_kind

    return render


def pod_spec(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def containers(objects: Objects) -> dict[str, dict[str, Any]]:
    spec = pod_spec(objects)
    return {item["name"]: item for item in [*spec["initContainers"], *spec["containers"]]}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}
