"""Where the GPU tasks of finetune-gpu are scheduled, on nodes that exist on paper only.

They have the labels of NVIDIA's GPU feature discovery and a taint, so that no other pod comes there; nothing runs
on them. Needs KUBECONFIG and the right to create nodes.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from pipelines.compile import COMPILED
from pipelines.resources import NEEDS
from tests.charts.conftest import find_tool

pytestmark = pytest.mark.cluster
GPU_TASKS = sorted(name for name, need in NEEDS["gpu"].items() if need.gpu)
PATIENCE_S = 60
CARD = "embedtune-test/gpu"  # label of the nodes, with the card as value


@dataclass(frozen=True)
class Card:
    """One card as the feature discovery describes it: memory in MiB and compute capability."""

    product: str
    mib: int
    capability: str
    taken: bool

    def node(self, name: str) -> dict[str, Any]:
        """Return a node with eight of them, whose kubelet exists on paper only."""
        major, minor = self.capability.split(".")
        labels = {
            "nvidia.com/gpu.product": self.product,
            "nvidia.com/gpu.memory": str(self.mib),
            "nvidia.com/gpu.compute.major": major,
            "nvidia.com/gpu.compute.minor": minor,
            CARD: name,
        }
        resources = {"cpu": "96", "memory": "1000Gi", "pods": "110", "nvidia.com/gpu": "8"}
        ready = {"type": "Ready", "status": "True", "reason": "OnPaper", "message": ""}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            # kwok, where there is one, keeps a node with this annotation ready.
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
            "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
        }


# What nvidia-smi reports for them; see GPU_NODE in pipelines/resources.py.
CARDS = {
    "a100-80": Card("NVIDIA-A100-SXM4-80GB", 81920, "8.0", taken=True),
    "h100-80": Card("NVIDIA-H100-80GB-HBM3", 81559, "9.0", taken=True),
    "a100-40": Card("NVIDIA-A100-SXM4-40GB", 40960, "8.0", taken=False),
    "v100-32": Card("Tesla-V100-SXM2-32GB", 32768, "7.0", taken=False),
    # There is no Volta with 80 GB: that its generation alone is a reason shows only on paper.
    "volta-80": Card("Volta-with-80GB", 81920, "7.0", taken=False),
}


@dataclass
class World:
    """A namespace, and the nodes by card."""

    namespace: str
    nodes: dict[str, str] = field(default_factory=dict)

    def pods(self, task: str, cards: Sequence[str]) -> list[str]:
        """Create pods of a task that may go to the node with one card only; return their names."""
        names = [f"{task}-{card}-{uuid.uuid4().hex[:6]}" for card in cards]
        made = [pod_of(task, name, {CARD: self.nodes[card]}) for name, card in zip(names, cards, strict=True)]
        self._kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
        return names

    def where(self) -> dict[str, tuple[str, str]]:
        """Return the phase and the node of each pod; a pod that waits has none."""
        items = json.loads(self._kubectl("get", "pods", "-o", "json"))["items"]
        return {
            one["metadata"]["name"]: (one["status"]["phase"], one["spec"].get("nodeName", "")) for one in items
        }

    def reasons(self) -> dict[str, str]:
        """Return the scheduler's last event about each pod, by the command of docs/kubeflow.md."""
        told = self._kubectl("get", "events", "--field-selector", "reason=FailedScheduling", "-o", "json")
        return {event["involvedObject"]["name"]: event["message"] for event in json.loads(told)["items"]}

    def _kubectl(self, *arguments: str, text: str | None = None) -> str:
        return kubectl("-n", self.namespace, *arguments, text=text)


def pod_of(task: str, name: str, selector: dict[str, str]) -> dict[str, Any]:
    """Return the pod that KFP's driver makes of a task, as far as the scheduler looks at it.

    A node affinity without a weight becomes a required one, an accelerator a limit (backend/src/v2/driver/k8s.go).
    """
    spec, platform = yaml.safe_load_all((COMPILED / "finetune-gpu.yaml").read_text())
    container = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    ours = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{task}"]
    given = container["resources"]
    accelerator = {given["accelerator"]["resourceType"]: given["accelerator"]["resourceCount"]}
    resources = {
        "requests": {"cpu": given["resourceCpuRequest"], "memory": given["resourceMemoryRequest"]} | accelerator,
        "limits": {"memory": given["resourceMemoryLimit"]} | accelerator,
    }
    terms = [{"matchExpressions": rule["matchExpressions"]} for rule in ours["nodeAffinity"]]
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "affinity": {"nodeAffinity": affinity},
            "tolerations": ours["tolerations"],
            "nodeSelector": selector,
            "containers": [{"name": "main", "image": container["image"], "resources": resources}],
        },
    }


def kubectl(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if not os.environ.get("KUBECONFIG"):  # never the default one: nodes are created there
        pytest.skip("no cluster for tests: KUBECONFIG not set")
    if find_tool("kubectl") is None:
        pytest.skip("not installed: kubectl")
    unique = uuid.uuid4().hex[:8]
    made = World(f"embedtune-gpu-{unique}")
    kubectl("create", "namespace", made.namespace)
    try:
        made.nodes.update({card: f"embedtune-{card}-{unique}" for card in CARDS})
        nodes = [its.node(made.nodes[card]) for card, its in CARDS.items()]
        kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
        kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"node/{one}" for one in made.nodes.values()))
        yield made
    finally:
        # No kubelet confirms that these pods have ended.
        kubectl("-n", made.namespace, "delete", "pods", "--all", "--force", "--grace-period=0")
        kubectl("delete", "node", "--ignore-not-found", *made.nodes.values())
        kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.mark.parametrize("task", GPU_TASKS)
def test_a_gpu_task_goes_to_80_gb_of_ampere_or_newer_and_waits_elsewhere(world: World, task: str) -> None:
    names = dict(zip(CARDS, world.pods(task, list(CARDS)), strict=True))
    fitting = {names[card]: world.nodes[card] for card, its in CARDS.items() if its.taken}
    waiting = set(names.values()) - fitting.keys()
    deadline = time.monotonic() + PATIENCE_S
    decided = False
    while not decided and time.monotonic() < deadline:
        where, reasons = world.where(), world.reasons()
        decided = all(where[name][1] for name in fitting) and waiting <= reasons.keys()
    assert {name: where[name][1] for name in fitting} == fitting
    for name in waiting:
        assert where[name] == ("Pending", "")
        # The words that docs/kubeflow.md tells people to look for.
        assert "didn't match Pod's node affinity/selector" in reasons[name]


def test_a_gpu_that_is_taken_has_another_reason(world: World) -> None:
    """Nine tasks on a node with eight GPUs: at least one waits for a GPU, which is a matter of time."""
    names = world.pods("export", ["h100-80"] * 9)
    deadline = time.monotonic() + PATIENCE_S
    told: list[str] = []
    while not told and time.monotonic() < deadline:
        told = [reason for name, reason in world.reasons().items() if name in names]
    assert any("Insufficient nvidia.com/gpu" in reason for reason in told)
