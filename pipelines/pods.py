"""What Argo knows about the pods of a run: why some failed or wait, and the end of their logs.

KFP's second API has neither messages nor the names of pods; its first one, still served, has Argo's workflow.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pipelines.server import KubeflowError, Server

LINES = 12  # of a log that are shown if it has no error of ours, such as those of a traceback
ERROR = re.compile(r"\[KFP Executor [^]]* ERROR\]: ")  # begins an error of ours, which ends the task's log
# Lines of KFP's launcher (glog) and of Argo, which follow those of the task.
NOT_OF_THE_TASK = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+|time=\S+ level=|Error: exit status \d+$")
# What follows a log that could not be read, or not to its end.
REFUSED = ('{"error_message":', "Could not get main container logs:")


@dataclass(frozen=True)
class Pod:
    """A pod that failed or waits.

    Args:
        task: Name of its task.
        message: What Argo says about it.
        log: The last lines of its log; empty: there is none.
    """

    task: str
    message: str
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.task}: {self.message}", *(f"  | {line}" for line in self.log)])


def failed_pods(server: Server, run_id: str, tasks: Collection[str]) -> list[Pod]:
    """Return the pods that failed, in the order of time; none if the server does not say.

    Args:
        server: The server.
        run_id: Id of the run.
        tasks: Names of the tasks of the pipeline.
    """
    workflow = _workflow(server, run_id)
    return [
        Pod(_task(workflow, node, tasks), node.get("message", "failed"), _log(server, run_id, workflow, node))
        for node in sorted(_pods(workflow, "Failed", "Error"), key=lambda node: str(node.get("finishedAt")))
    ]


def waiting_pods(server: Server, run_id: str, tasks: Collection[str]) -> list[Pod]:
    """Return the pods that have not begun and say why: no node fits, or an image cannot be loaded."""
    workflow = _workflow(server, run_id)
    return [
        Pod(_task(workflow, node, tasks), node["message"])
        for node in _pods(workflow, "Pending")
        if node.get("message")
    ]


def _workflow(server: Server, run_id: str) -> Any:
    """Return Argo's workflow; an empty one if the server does not have it."""
    try:
        return json.loads(server.get(f"/apis/v1beta1/runs/{run_id}")["pipeline_runtime"]["workflow_manifest"])
    except (KubeflowError, KeyError, TypeError, ValueError):
        return {}


def _nodes(workflow: Any) -> Mapping[str, Any]:
    # Argo's format: nodes by id, each with the id of the node that it belongs to.
    found: Mapping[str, Any] = workflow.get("status", {}).get("nodes", {})
    return found


def _pods(workflow: Any, *phases: str) -> Iterator[Any]:
    yield from (node for node in _nodes(workflow).values() if node["type"] == "Pod" and node["phase"] in phases)


def _task(workflow: Any, node: Any, tasks: Collection[str]) -> str:
    """Return the name of the task that a pod belongs to.

    Attempts are called "train(0)", and the pods that prepare them "train-driver(0)".
    """
    at = node
    while at is not None:
        name = re.sub(r"(-driver)?(\(\d+\))?$", "", at["displayName"])
        if name in tasks:
            return name
        at = _nodes(workflow).get(at.get("boundaryID"))
    return str(node["displayName"])


def _log(server: Server, run_id: str, workflow: Any, node: Any) -> tuple[str, ...]:
    # A pod's name: the workflow's, the template's, and the number at the end of the node's id.
    about, number = workflow["metadata"], node["id"].rpartition("-")[2]
    pod = f"{about['name']}-{node['templateName']}-{number}"
    path = f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log"
    if server.is_ui:
        place = {"podname": pod, "podnamespace": about["namespace"], "runid": run_id}
        path = f"/k8s/pod/logs?{urlencode(place)}"
    try:
        text = str(server.get(path, "str"))
    except KubeflowError:
        return ()
    lines = [line for line in text.splitlines() if line.strip() and not NOT_OF_THE_TASK.match(line)]
    errors = [number for number, line in enumerate(lines) if ERROR.match(line)]
    shown = lines[errors[-1] :] if errors else lines[-LINES:]
    return tuple(ERROR.sub("", line) for line in shown if not line.startswith(REFUSED))
