"""Rollouts on a real Kubernetes; a small container stands in for Triton and refuses one release."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedtune.core.config import parse_config
from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.kubernetes import ServingDeployment
from embedtune.deploy.rollout import Environment, go_live
from tests.unit.deploy.world import FakeEncoder, make_release

pytestmark = pytest.mark.cluster
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: embedtune-triton, namespace: {namespace}}}
spec:
  replicas: 2
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  selector: {{matchLabels: {{app: embedtune}}}}
  template:
    metadata: {{labels: {{app: embedtune}}}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
        - name: release
          image: localhost/busybox:1.35
          imagePullPolicy: IfNotPresent
          terminationMessagePolicy: FallbackToLogsOnError
          command: [sh, -c, 'test "$EMBEDTUNE_RELEASE" != {broken} || {{ echo release is damaged; exit 1; }}']
          env: [{{name: EMBEDTUNE_RELEASES, value: "s3://b/r"}}, {{name: EMBEDTUNE_RELEASE, value: ""}}]
          resources: {{requests: {{cpu: 5m}}}}
      containers:
        - name: triton
          image: localhost/busybox:1.35
          imagePullPolicy: IfNotPresent
          command: [sleep, "3600"]
          resources: {{requests: {{cpu: 5m}}}}
"""


def kubectl(*arguments: str, given: str | None = None) -> str:
    return subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=True).stdout


@dataclass
class World:
    """A namespace with the Deployment, and three releases: two good ones and one that no pod can start."""

    namespace: str
    environment: Environment
    one: str
    two: str
    broken: str

    def released(self) -> list[str]:
        """Return what the pods serve, those that end included."""
        path = "{range .items[*]}{.status.phase} {.metadata.annotations.embedtune\\.dev/release}{'\\n'}{end}"
        lines = kubectl("-n", self.namespace, "get", "pods", "-o", f"jsonpath={path}").splitlines()
        return sorted(line.split()[1] for line in lines if line.startswith("Running"))


@dataclass(frozen=True)
class Served:
    """What the endpoint in memory asks: which release the Deployment names."""

    releases: Path
    deployment: ServingDeployment

    @property
    def served(self) -> str | None:
        return self.deployment.current()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    config = parse_config({"contract": {"base_model": "base", "dimensions": [8, 4]}})
    folder = tmp_path_factory.mktemp("releases")
    one, two, broken = (make_release(folder, name) for name in ("one", "two", "broken"))
    namespace = f"embedtune-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    try:
        kubectl("apply", "-f", "-", given=MANIFEST.format(namespace=namespace, broken=broken))
        serving = ServingDeployment(namespace, "embedtune-triton", 180)
        encoder = FakeEncoder(Served(folder, serving))
        environment = Environment(config, serving, folder, None, lambda contract, model_name: encoder)
        yield World(namespace, environment, one, two, broken)
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def test_a_release_goes_live_in_all_pods(world: World) -> None:
    assert world.environment.serving.current() is None
    for name in (world.one, world.two):
        go_live(world.environment, name, SilentProgress())
        assert world.environment.serving.current() == name
        assert world.released() == [name, name]


def test_a_release_that_no_pod_can_start_is_taken_back(world: World) -> None:
    go_live(world.environment, world.two, SilentProgress())
    with pytest.raises(GateError, match=rf"{world.two} is live again(.|\n)*release is damaged"):
        go_live(world.environment, world.broken, SilentProgress())
    assert world.environment.serving.current() == world.two
    assert world.released() == [world.two, world.two]


def test_a_release_with_wrong_vectors_is_taken_back(world: World) -> None:
    wrong = make_release(world.environment.releases, "three", wrong=True)
    with pytest.raises(GateError, match=rf"{world.two} is live again(.|\n)*trained vectors"):
        go_live(world.environment, wrong, SilentProgress())
    assert world.released() == [world.two, world.two]


def test_what_deploy_sets_belongs_to_it_alone(world: World) -> None:
    # Argo CD and Helm are told by this name which fields to leave alone.
    fields = kubectl(
        "-n", world.namespace, "get", "deploy/embedtune-triton", "-o", "json", "--show-managed-fields"
    )
    managers = {entry["manager"]: entry["fieldsV1"] for entry in json.loads(fields)["metadata"]["managedFields"]}
    template = managers["embedtune-deploy"]["f:spec"]["f:template"]
    assert template["f:metadata"] == {"f:annotations": {".": {}, "f:embedtune.dev/release": {}}}
    containers = template["f:spec"]["f:initContainers"]
    assert containers == {'k:{"name":"release"}': {"f:env": {'k:{"name":"EMBEDTUNE_RELEASE"}': {"f:value": {}}}}}
