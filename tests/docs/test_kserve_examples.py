"""The example for KServe: consistent with itself and the code, and valid against the CRDs if they are at hand.

EMBEDTUNE_TEST_KSERVE_CRDS names a folder with serving.kserve.io_*.yaml (config/crd/full of KServe's repository).
"""

import importlib.util
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedtune.serve import pod
from embedtune.serve.gateway.__main__ import main as gateway

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "examples" / "kserve"
CRDS = os.environ.get("EMBEDTUNE_TEST_KSERVE_CRDS")

Object = dict[str, Any]


def read(kind: str) -> Object:
    example: Object = yaml.safe_load((FOLDER / f"{kind}.yaml").read_text())
    return example


def containers() -> dict[str, Object]:
    return {item["name"]: item for item in read("servingruntime")["spec"]["containers"]}


def test_the_service_chooses_the_runtime() -> None:
    runtime, model = read("servingruntime"), read("inferenceservice")["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {item["name"] for item in runtime["spec"]["supportedModelFormats"]}
    assert "storageUri" not in model


def test_requests_go_to_the_gateway() -> None:
    container = containers()["kserve-container"]
    assert container["command"] == ["python", "-m", "embedtune.serve.gateway"]
    given = gateway.make_context("gateway", list(container["args"])).params
    assert container["ports"][0]["containerPort"] == given["port"] == 8080
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("readiness", "liveness")} == {8080}
    assert given["serving"] == Path("/release")


def test_triton_gets_the_variables_that_it_needs_and_opens_no_port() -> None:
    container = containers()["triton"]
    assert importlib.util.find_spec(container["command"][2]) is not None
    given = {item["name"] for item in container["env"]}
    read_by_pod = set(re.findall(r'"(EMBEDTUNE_\w+)"', Path(pod.__file__).read_text()))
    assert {name for name in given if name.startswith("EMBEDTUNE_")} <= read_by_pod
    assert "EMBEDTUNE_TRITON_OPEN" not in given
    assert container["command"][-1] in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_mount_has_a_volume() -> None:
    volumes = {item["name"] for item in read("servingruntime")["spec"]["volumes"]}
    assert {mount["name"] for item in containers().values() for mount in item["volumeMounts"]} == volumes


def schema_of(crd: Object, version: str) -> Object:
    (found,) = [item for item in crd["spec"]["versions"] if item["name"] == version]
    return strict(found["schema"]["openAPIV3Schema"])


def strict(schema: Object) -> Object:
    """Return a schema that forbids unknown fields, as `kubectl apply` does."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {name: value for name, value in schema.items() if not name.startswith("x-")}
    result.pop("format", None)
    if "properties" in schema:
        result["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            result[name] = strict(schema[name])
    return result


@pytest.mark.skipif(CRDS is None, reason="EMBEDTUNE_TEST_KSERVE_CRDS names no folder")
@pytest.mark.parametrize("kind", ["servingruntime", "inferenceservice"])
def test_the_examples_are_valid_against_the_crds(kind: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    crd: Object = yaml.load((Path(str(CRDS)) / f"serving.kserve.io_{kind}s.yaml").read_text(), yaml.CSafeLoader)
    example = read(kind)
    group, _, version = example["apiVersion"].partition("/")
    assert (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (group, example["kind"])
    schema = schema_of(crd, version)
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(example, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example, "spec": {**example["spec"], "unknown": 1}}, schema)


class Strict(BaseModel):
    """The fields of KServe's and Kubernetes' objects that the examples use; any other one is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    annotations: dict[str, str] = {}


class Port(Strict):
    containerPort: Annotated[int, Field(gt=0, lt=65_536)]
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class Get(Strict):
    path: str
    port: int


class Probe(Strict):
    httpGet: Get
    periodSeconds: int = 10
    timeoutSeconds: int = 1
    failureThreshold: int = 3


class Reference(Strict):
    name: str
    key: str


class Source(Strict):
    secretKeyRef: Reference


class Variable(Strict):
    name: str
    value: str | None = None
    valueFrom: Source | None = None


class Resources(Strict):
    requests: dict[Literal["cpu", "memory"], str]
    limits: dict[Literal["cpu", "memory"], str]


class Mount(Strict):
    name: str
    mountPath: str
    readOnly: bool = False


class Container(Strict):
    name: str
    image: str
    command: list[str]
    args: list[str] = []
    env: list[Variable] = []
    ports: list[Port] = []
    readinessProbe: Probe | None = None
    livenessProbe: Probe | None = None
    resources: Resources
    securityContext: dict[str, Any]
    volumeMounts: list[Mount] = []


class EmptyDir(Strict):
    sizeLimit: str
    medium: Literal["", "Memory"] = ""


class Volume(Strict):
    name: str
    emptyDir: EmptyDir


class Format(Strict):
    name: str
    version: str | None = None
    autoSelect: bool | None = None


class RuntimeSpec(Strict):
    supportedModelFormats: list[Format]
    protocolVersions: list[Literal["v1", "v2", "grpc-v1", "grpc-v2"]]
    containers: list[Container]
    volumes: list[Volume]


class ServingRuntime(Strict):
    apiVersion: Literal["serving.kserve.io/v1alpha1"]
    kind: Literal["ServingRuntime"]
    metadata: Metadata
    spec: RuntimeSpec


class Model(Strict):
    modelFormat: Format
    runtime: str


class Predictor(Strict):
    minReplicas: int
    maxReplicas: int
    securityContext: dict[Literal["fsGroup"], int]
    terminationGracePeriodSeconds: int
    model: Model


class ServiceSpec(Strict):
    predictor: Predictor


class InferenceService(Strict):
    apiVersion: Literal["serving.kserve.io/v1beta1"]
    kind: Literal["InferenceService"]
    metadata: Metadata
    spec: ServiceSpec


@pytest.mark.parametrize(
    ("kind", "schema"), [("servingruntime", ServingRuntime), ("inferenceservice", InferenceService)]
)
def test_the_examples_use_only_fields_that_kserve_has(kind: str, schema: type[BaseModel]) -> None:
    example = read(kind)
    schema.model_validate(example)
    with pytest.raises(ValidationError, match="Extra inputs"):
        schema.model_validate({**example, "spec": {**example["spec"], "unknown": 1}})
