"""The part of the Kubernetes API that a rollout uses, over real HTTP: one Deployment and its pods, as scripted.

Each `dict[str, Any]` is an object of the Kubernetes API.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPLICAS = 2


@dataclass
class FakeCluster:
    """A Deployment whose new pods become ready, or do not.

    Args:
        broken: Releases whose download fails in every pod.
        slow: How often the Deployment is read until a rollout is complete.
        ending: How often the pods are then read while an old one is terminating; one on a lost node never ends.
        stuck: Whether the Deployment's controller has given up.
        status: HTTP status of every answer, if it is not None.
        max_unavailable: Of the rolling update; pods that answer stay unless all may be missing.
        answering: The release of the pods that are ready.
        leaving: How often the pods were read since these have to go: they stay, terminate, and are gone.
        hanging: Whether these pods stay instead.
    """

    broken: set[str] = field(default_factory=set)
    slow: int = 2
    ending: int = 0
    stuck: bool = False
    status: int | None = None
    release: str = ""
    generation: int = 1
    waits: int = 0
    max_unavailable: int | str = 0
    answering: str = ""
    leaving: int = 0
    hanging: bool = False
    patches: list[dict[str, Any]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def deployment(self) -> dict[str, Any]:
        """Return the Deployment; each call brings a rollout closer to its end."""
        self.waits = max(0, self.waits - 1)
        done = self.waits == 0 and self.release not in self.broken
        new = REPLICAS if done else 1
        if done and self.release:
            self.answering, self.leaving = self.release, 0
        env = [
            {"name": "EMBEDTUNE_RELEASES", "value": "s3://b/r"},
            {"name": "EMBEDTUNE_RELEASE", "value": self.release},
        ]
        labels = {"app": "embedtune"}
        return {
            "kind": "Deployment",
            "metadata": {"name": "embedtune-triton", "generation": self.generation},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": self.max_unavailable}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "initContainers": [{"name": "release", "env": env}],
                        "containers": [{"name": "triton"}],
                    },
                },
            },
            "status": {
                "observedGeneration": self.generation,
                "replicas": REPLICAS + (not done),
                "updatedReplicas": new,
                "availableReplicas": REPLICAS,
                "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
                if self.stuck
                else [],
            },
        }

    def pods(self) -> dict[str, Any]:
        """Return the pods: a new one, whose download has failed if its release is broken, and those that leave."""
        failing = self.release in self.broken
        terminated = {"exitCode": 1, "reason": "Error", "message": "release is damaged in the store\n"}
        status = {
            "name": "release",
            "image": "i",
            "imageID": "i",
            "ready": not failing,
            "restartCount": 3 if failing else 0,
            "state": {},
            "lastState": {"terminated": terminated} if failing else {},
        }
        annotations = {"embedtune.dev/release": self.release}
        pod = {
            "metadata": {"name": "new-1", "annotations": annotations},
            "status": {"initContainerStatuses": [status]},
        }
        pods = [pod, *self._left()]
        if self.waits == 0 and self.ending > 0:
            self.ending -= 1
            soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
            pods.append({"metadata": {"name": "old-1", "deletionTimestamp": soon}, "status": {}})
        pods.append({"metadata": {"name": "lost-1", "deletionTimestamp": "2020-01-01T00:00:00Z"}, "status": {}})
        return {"kind": "PodList", "items": pods}

    def _left(self) -> list[dict[str, Any]]:
        """Return the pod that still answers although the template has no release any more."""
        if self.release or not self.answering:
            return []
        if not self.hanging and (self.leaving or self.max_unavailable == "100%"):
            self.leaving += 1
        if self.leaving > 4:
            self.answering = ""
            return []
        metadata = {"name": "left-1", "annotations": {"embedtune.dev/release": self.answering}}
        if self.leaving > 2:
            metadata["deletionTimestamp"] = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
        return [{"metadata": metadata, "status": {}}]

    def patch(self, body: dict[str, Any]) -> None:
        """Apply a patch of a rollout or a withdrawal; others fail."""
        self.patches.append(body)
        if set(body["spec"]) == {"strategy"}:
            self.max_unavailable = body["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]
            return
        (container,) = body["spec"]["template"]["spec"]["initContainers"]
        (variable,) = container["env"]
        if variable["value"] != self.release:
            self.release, self.generation, self.waits = variable["value"], self.generation + 1, self.slow


@contextmanager
def serve(cluster: FakeCluster) -> Iterator[str]:
    """Serve a cluster on a free port and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def _send(self, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(cluster.status or 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._send(cluster.pods() if "/pods" in self.path else cluster.deployment())

        def do_PATCH(self) -> None:
            cluster.queries.append(f"{self.path} {self.headers['Content-Type']}")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if cluster.status is None:
                cluster.patch(body)
            self._send(cluster.deployment())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
