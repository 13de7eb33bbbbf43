"""Follows a run: what its tasks do, and how it ends."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, Protocol

from embedtune.core.formatting import duration
from pipelines.pods import Pod, waiting_pods
from pipelines.server import KubeflowError, Server

PAUSE_S = 5.0  # between two requests; KFP's agent reports a change within a few seconds
ASK_ARGO_EVERY = 6  # turns: what a pod waits for is in the whole workflow, which is large
PATIENCE_S = 900.0  # without an answer: an API server that is replaced, or a laptop that slept
QUICKEST_POD_S = 2.0  # KFP does not say which tasks it took from its cache; these had no pod
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# What KFP's states of a task mean; UNSPECIFIED is Argo's "Omitted".
STATES = {
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELED": "canceled",
    "RUNNING": "running",
}


class Listener(Protocol):
    """Receives what changes in a run."""

    def changed(self, task: "TaskState") -> None:
        """A task is in another state than before."""

    def waiting(self, remark: str) -> None:
        """Nothing has changed; the remark says what is going on."""

    def held_up(self, pod: Pod) -> None:
        """A pod has not begun, and says why."""


@dataclass(frozen=True)
class TaskState:
    """A task at one moment.

    Args:
        name: Its name.
        state: One of the words of `STATES`.
        seconds: How long it has been running, or ran.
    """

    name: str
    state: str
    seconds: float

    def __str__(self) -> str:
        if self.state == "done" and self.seconds < QUICKEST_POD_S:
            return f"{self.name} done, from the cache"
        return f"{self.name} {self.state} {duration(self.seconds)}"


def task_states(run: Any, names: Iterable[str]) -> dict[str, TaskState]:
    """Return the tasks that have begun.

    Args:
        run: A run, as KFP's API describes it. Among its task details are Argo's helpers, such as drivers.
        names: Names of the tasks of the pipeline.
    """
    known = set(names)
    found: dict[str, TaskState] = {}
    details = (run.run_details and run.run_details.task_details) or ()
    for detail in sorted(details, key=lambda detail: str(detail.start_time)):
        if detail.display_name in known and detail.state in STATES:
            found[detail.display_name] = TaskState(detail.display_name, STATES[detail.state], _seconds(detail))
    return found


def follow(server: Server, run_id: str, names: Iterable[str], listener: Listener, pause_s: float = PAUSE_S) -> Any:
    """Wait for a run to end, and return it. Interrupting this leaves the run as it is.

    Args:
        server: The server.
        run_id: Id of the run.
        names: Names of the tasks of the pipeline.
        listener: Gets every change.
        pause_s: Seconds between two requests.

    Raises:
        KubeflowError: The server has refused the request, or has not answered for `PATIENCE_S`.
    """
    seen: Mapping[str, TaskState] = {}
    names, told = tuple(names), set[Pod]()
    turn = 0
    while True:
        run = _patiently(server, run_id, listener, pause_s)
        now = task_states(run, names)
        for task in sorted(now.values(), key=lambda task: task.state == "running"):
            if task.name not in seen or seen[task.name].state != task.state:
                listener.changed(task)
        seen = now
        if run.state in ENDED:
            return run
        running = [str(task) for task in now.values() if task.state == "running"]
        listener.waiting(", ".join(running) or f"run {str(run.state or 'PENDING').lower()}")
        turn += 1
        if turn % ASK_ARGO_EVERY == 0:
            new = [pod for pod in waiting_pods(server, run_id, names) if pod not in told]
            told |= set(new)
            for pod in new:
                listener.held_up(pod)
        sleep(pause_s)


def _patiently(server: Server, run_id: str, listener: Listener, pause_s: float) -> Any:
    from kfp_server_api import RunServiceApi

    began = monotonic()
    while True:
        try:
            return server.call(RunServiceApi(server.client).run_service_get_run, run_id)
        except KubeflowError as error:
            if not error.may_pass or monotonic() - began > PATIENCE_S:
                raise
            listener.waiting(f"no answer from {server.endpoint}")
            sleep(pause_s)


def _seconds(detail: Any) -> float:
    """Return how long a task has run; KFP writes 1970 for a time that it does not know."""
    if detail.start_time is None or detail.start_time.year < 2000:
        return 0.0
    end = detail.end_time if detail.end_time and detail.end_time.year >= 2000 else datetime.now(UTC)
    return max(0.0, float((end - detail.start_time).total_seconds()))
