"""Why pods do not come up: what kubectl prints of them, said at once. The program is a stand-in; the real one is
asked in tests/cluster."""

import json
import stat
from pathlib import Path

import pytest

from embedtune.core.config.deploy import DeploySettings
from embedtune.deploy.stuck_pods import stuck_pods

DEPLOY = DeploySettings(target="kubernetes", namespace="serving")
UNSCHEDULABLE = {
    "metadata": {"name": "embedtune-triton-7d-a"},
    "status": {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient cpu.",
            }
        ],
    },
}
NO_IMAGE = {
    "metadata": {"name": "embedtune-triton-7d-b"},
    "status": {
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "initContainerStatuses": [
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x:1"'}}}
        ],
        "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
    },
}
RUNNING = {
    "metadata": {"name": "embedtune-triton-7d-c"},
    "status": {"containerStatuses": [{"state": {"running": {}}}]},
}
OTHER = {**NO_IMAGE, "metadata": {"name": "search-5f-a"}}
BROKEN_KUBECTL = {"fails": "exit 1", "prints no JSON": "echo no", "prints another object": "echo '{}'"}


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the program, and nothing else on PATH; its arguments are in the file `asked`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "kubectl"


def write(kubectl: Path, command: str) -> None:
    kubectl.write_text(f'#!/bin/sh\nprintf "%s " "$@" > {kubectl.parent}/asked\n{command}\n')
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)


def test_pods_that_cannot_be_scheduled_or_started_are_named_with_the_reason(kubectl: Path) -> None:
    items = [UNSCHEDULABLE, NO_IMAGE, RUNNING, OTHER]
    (kubectl.parent / "pods.json").write_text(json.dumps({"items": items}))
    write(kubectl, f"/bin/cat {kubectl.parent}/pods.json")
    assert stuck_pods(DEPLOY) == [
        "pod embedtune-triton-7d-a: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.",
        'pod embedtune-triton-7d-b: ImagePullBackOff: Back-off pulling image "x:1"',
    ]
    assert "-n serving get pods" in (kubectl.parent / "asked").read_text()


@pytest.mark.parametrize("command", BROKEN_KUBECTL.values(), ids=BROKEN_KUBECTL)
def test_whoever_may_not_look_is_told_nothing(kubectl: Path, command: str) -> None:
    write(kubectl, command)
    assert stuck_pods(DEPLOY) is None


def test_without_kubectl_or_cluster_nobody_is_asked(kubectl: Path) -> None:
    assert stuck_pods(DEPLOY) is None
    write(kubectl, "echo no")
    assert stuck_pods(DeploySettings(target="local")) is None
    assert not (kubectl.parent / "asked").exists()
