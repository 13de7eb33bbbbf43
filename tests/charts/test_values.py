"""Misspelt or impossible values are refused, and every value has an effect."""

import re
import subprocess

import pytest
import yaml

from tests.charts.conftest import CHART, Render, containers
from tests.support.chart_values import leaves, require_schema

FREE = ("podSecurityContext", "containerSecurityContext", "affinity")  # passed to Kubernetes unchanged
WHOLE = (*FREE, "resources", "labels")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("relase.maxSize=1Gi", "additional properties 'relase' not allowed"),
        ("triton.resource.limits.cpu=1", "additional properties 'resource' not allowed"),
        ("target=onnx", "value must be one of 'python-cpu', 'onnxruntime', 'tensorrt'"),
        ("gpus=1", "/gpus': value must be 0"),
        ("target=tensorrt", "minimum: got 0, want 1"),
        ("storage.endpoint=http://minio:9000", "does not match pattern"),
        ("storage.releases=releases", "does not match pattern"),
        ("image.tag=latest", "'not' failed"),
        ("deployers[0].name=a", "additional properties 'deployers' not allowed"),
        ("replicas=two", "got string, want integer"),
        ("autoscaling.metric=queue", "value must be one of 'auto', 'load', 'cpu'"),
        ("extraEnv[0].value=x", "missing property 'name'"),
        ("triton.open={metrics}", "value must be one of 'grpc', 'http'"),
    ],
)
def test_a_wrong_value_is_refused(render: Render, setting: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        render(setting)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [("image.tag=", "image.tag: set it to the tag"), ("storage.endpoint=", "storage.endpoint: host:port")],
)
def test_a_value_without_a_sensible_default_is_required(render: Render, setting: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        render(setting)


def test_the_chart_passes_lint_without_any_value(helm: str) -> None:
    done = subprocess.run([helm, "lint", str(CHART), "--strict"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_knows_every_value(render: Render) -> None:
    require_schema(CHART, WHOLE)


def test_every_value_is_used_by_a_template() -> None:
    templates = "".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())
    used = set(re.findall(r"(?:\.Values|\$values)\.([A-Za-z0-9.]+)", templates))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {".".join(path) for path in leaves(values, WHOLE)} - used == set()


@pytest.mark.parametrize("file", ["values-small.yaml", "values-gpu.yaml"])
def test_every_value_of_the_ready_made_sets_differs_from_the_default(file: str) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    values = yaml.safe_load((CHART / file).read_text())
    for path in leaves(values, WHOLE):
        here, there = values, defaults
        for name in path:
            here, there = here[name], there[name]
        assert here != there, path


def test_a_tag_may_carry_a_digest(render: Render) -> None:
    image = containers(render(f"image.tag=1f0c@sha256:{'0' * 64}"))["triton"]["image"]
    assert image == f"embedtune/triton:1f0c@sha256:{'0' * 64}"
