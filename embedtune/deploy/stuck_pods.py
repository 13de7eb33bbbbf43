"""Why pods of the serving Deployment do not come up, as far as kubectl on this machine may read it.

Deploying needs no right in Kubernetes, and a pod that does not run cannot write to the store. But whoever deploys
from a shell usually has kubectl, which knows.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from embedtune.core.config.deploy import DeploySettings

PATIENCE_S = 5
# Reasons why a container waits that do not pass by themselves.
STUCK = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}


def stuck_pods(deploy: DeploySettings) -> list[str] | None:
    """Return a line per pod that cannot be scheduled or started; None: there is no kubectl, or it may not look.

    Args:
        deploy: Names the namespace and the Deployment.
    """
    if deploy.target != "kubernetes" or (kubectl := shutil.which("kubectl")) is None:
        return None
    command = ["-n", deploy.namespace, "get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "json"]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are a list, and there is no shell
            [kubectl, *command, f"--request-timeout={PATIENCE_S}s"],
            capture_output=True,
            timeout=2 * PATIENCE_S,
            check=True,
        )
        pods = json.loads(done.stdout)["items"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):  # this is only a hint
        return None
    ours = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{deploy.deployment}-")]
    return [f"pod {pod['metadata']['name']}: {reason}" for pod in ours for reason in _reasons(pod["status"])]


def _reasons(status: dict[str, Any]) -> Iterator[str]:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{condition.get('reason', 'not scheduled')}: {condition.get('message', '')}".rstrip(": ")
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in STUCK:
            yield f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
