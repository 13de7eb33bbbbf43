"""Why a run failed: what Argo says of its pods, and the end of their logs, which is where our errors are."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.server import KubeflowError, Server

LINES = 12  # of a log that are shown: an error of ours takes four


@dataclass(frozen=True)
class Failure:
    """A pod that failed.

    Args:
        task: Name of its task.
        message: What Argo says about it.
        log: The last lines of its log; empty: there is none left.
    """

    task: str
    message: str
    log: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.task}: {self.message}", *(f"  | {line}" for line in self.log)])


def failures(server: Server, run_id: str, tasks: Collection[str]) -> list[Failure]:
    """Return the pods that failed; none if the server does not say.

    KFP's second API has neither messages nor the names of pods; the first one has Argo's workflow.

    Args:
        server: The server.
        run_id: Id of the run.
        tasks: Names of the tasks of the pipeline.
    """
    try:
        about = server.get(f"/apis/v1beta1/runs/{run_id}")
        workflow = json.loads(about["pipeline_runtime"]["workflow_manifest"])
    except (KubeflowError, KeyError, TypeError, ValueError):
        return []
    return list(_failed(server, run_id, workflow, tasks))


def _failed(server: Server, run_id: str, workflow: Any, tasks: Collection[str]) -> Iterator[Failure]:
    # Argo's format: nodes by id, each with the id of the node that it belongs to.
    nodes: Mapping[str, Any] = workflow.get("status", {}).get("nodes", {})
    for node in sorted(nodes.values(), key=lambda node: str(node.get("finishedAt"))):
        if node.get("type") == "Pod" and node.get("phase") in ("Failed", "Error"):
            pod = _pod_name(workflow, node)
            log = _log(server, run_id, pod)
            yield Failure(_task(nodes, node, tasks), node.get("message", "failed"), log)


def _task(nodes: Mapping[str, Any], node: Any, tasks: Collection[str]) -> str:
    at = node
    while at is not None and at.get("displayName") not in tasks:
        at = nodes.get(at.get("boundaryID"))
    return str((at or node).get("displayName"))


def _pod_name(workflow: Any, node: Any) -> str:
    """Return the name of a node's pod: the workflow's, the template's, and the number at the end of its id."""
    name, number = workflow["metadata"]["name"], node["id"].rpartition("-")[2]
    return f"{name}-{node.get('templateName', '')}-{number}"


def _log(server: Server, run_id: str, pod: str) -> tuple[str, ...]:
    try:
        text = server.get(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log", "str")
    except KubeflowError:
        return ()
    lines = [line for line in str(text).splitlines() if line.strip()]
    return tuple(lines[-LINES:]) if "error_details" not in "".join(lines[-1:]) else ()
