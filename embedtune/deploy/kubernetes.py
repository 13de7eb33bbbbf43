"""The serving Deployment: sets which release its pods get, and waits until all of them have it.

`Any` and `dict[str, Any]` are objects of the Kubernetes API, whose client has no types.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from embedtune.core.errors import ConfigError, GateError, InputError
from embedtune.serve.release.record import Release

CONTAINER, VARIABLE = "release", "EMBEDTUNE_RELEASE"  # names used in charts/triton
ANNOTATION = "embedtune.dev/release"
MANAGER = "embedtune-deploy"  # owner of the fields that deploy sets; Argo CD is told to leave them alone
# Owner of what a withdrawal sets and resets: Argo CD must not leave that alone.
WITHDRAWAL = "embedtune-withdraw"
RESTARTS = 3  # of a container in a new pod, after which the rollout has failed
LOST_S = 30.0  # a pod that still exists this long after its grace period is on a lost node
POLL_S = 2.0


class ServingDeployment:
    """The Deployment that serves releases.

    Args:
        namespace: Its namespace.
        name: Its name.
        timeout_s: Seconds that a rollout may take.
        owned: Whether its release is set here; False: the chart's values set it, and this class only waits for it.

    Raises:
        ConfigError: The Kubernetes client is not installed, or no cluster is configured.
    """

    def __init__(self, namespace: str, name: str, timeout_s: float, *, owned: bool = True) -> None:
        self.namespace = namespace
        self.name = name
        self._timeout_s = timeout_s
        self._owned = owned
        self._apps, self._core = _connect()

    def current(self) -> str | None:
        """Return the release that the pod template names, or None."""
        for container in self._read().spec.template.spec.init_containers or []:
            if container.name == CONTAINER:
                values = [entry.value for entry in container.env or [] if entry.name == VARIABLE]
                return values[0] or None if values else None
        raise InputError(
            f"Deployment {self.namespace}/{self.name} does not serve releases",
            expected=f"an init container {CONTAINER}",
            fix="install charts/triton, or set deploy.deployment",
        )

    def switch(self, release: Release) -> None:
        """Give all pods a release and wait until they are ready with it.

        Raises:
            GateError: The pods do not become ready with it.
            InputError: The cluster refuses or does not answer, or the chart's values own the live release.
        """
        self.restore(release.id)

    def restore(self, name: str) -> None:
        """Give all pods the release with this id, which they download themselves; raises what `switch` raises."""
        current = self.current()
        if self._owned:
            self._patch(name)
        elif current != name:
            raise InputError(
                "the chart's values own the live release, and they set a different one",
                got=current or "none",
                expected=name,
                fix=f"set release.id to {name} in the values, let it roll out, then run the command again",
            )
        self._wait(name)

    def withdraw(self) -> None:
        """Remove the release, and return when no pod can answer any more: new ones wait for a release.

        Raises:
            GateError: Pods that have a release do not end.
            InputError: The cluster refuses or does not answer.
        """
        kept = self._read().spec.strategy.rolling_update.max_unavailable
        # Pods without a release are never ready: a rolling update would keep those that answer forever.
        self._allow_missing("100%")
        try:
            self._patch("")
            self._wait_for_none(_stays)
        finally:
            self._allow_missing(kept)
        self._wait_for_none(_there)

    def _patch(self, release: str) -> None:
        template = {
            "metadata": {"annotations": {ANNOTATION: release}},
            "spec": {"initContainers": [{"name": CONTAINER, "env": [{"name": VARIABLE, "value": release}]}]},
        }
        self._patch_spec({"template": template}, MANAGER)

    def _allow_missing(self, pods: int | str) -> None:
        self._patch_spec({"strategy": {"rollingUpdate": {"maxUnavailable": pods}}}, WITHDRAWAL)

    def _patch_spec(self, spec: dict[str, Any], manager: str) -> None:
        with self._explained():
            self._apps.patch_namespaced_deployment(
                self.name, self.namespace, {"spec": spec}, field_manager=manager
            )

    def _wait_for_none(self, counted: Callable[[Any], bool]) -> None:
        """Wait until no counted pod has a release.

        Args:
            counted: Tells whether a pod counts.

        Raises:
            GateError: That does not happen in time.
        """
        deadline = time.monotonic() + self._timeout_s
        while left := [pod for pod in self._pods(self._read()) if _release_of(pod) and counted(pod)]:
            if time.monotonic() >= deadline:
                raise GateError(
                    "pods with a withdrawn release are still answering",
                    got=", ".join(f"{pod.metadata.name} with {_release_of(pod)}" for pod in left),
                    fix=f"kubectl -n {self.namespace} scale deployment {self.name} --replicas 0",
                )
            time.sleep(POLL_S)

    def _wait(self, release: str) -> None:
        """Wait until every pod matches the current template and is ready.

        Args:
            release: Id of the release that they must have.

        Raises:
            GateError: That does not happen in time, or cannot.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            deployment = self._read()
            pods = self._pods(deployment)
            state = _progress(deployment) or _ending(pods)
            if state is None:
                return
            trouble = _trouble(pods, release)
            if trouble or _stuck(deployment) or time.monotonic() >= deadline:
                raise GateError(
                    f"the rollout of release {release} failed",
                    got=trouble or f"{state} after {self._timeout_s:.0f} s",
                    expected="all pods ready",
                    fix=f"see kubectl -n {self.namespace} describe pods",
                )
            time.sleep(POLL_S)

    def _read(self) -> Any:
        with self._explained():
            return self._apps.read_namespaced_deployment(self.name, self.namespace)

    def _pods(self, deployment: Any) -> list[Any]:
        labels = ",".join(f"{key}={value}" for key, value in deployment.spec.selector.match_labels.items())
        with self._explained():
            pods: list[Any] = self._core.list_namespaced_pod(self.namespace, label_selector=labels).items
        return pods

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        where = f"Deployment {self.namespace}/{self.name}"
        try:
            yield
        except ApiException as error:
            fixes = {403: "allow this account to get and patch the Deployment (charts/triton, rbac)"}
            fixes |= {404: "install charts/triton, or set deploy.namespace and deploy.deployment"}
            raise InputError(
                f"the cluster refused access to {where}",
                got=f"{error.status} {error.reason}",
                fix=fixes.get(error.status),
            ) from error
        except HTTPError as error:
            raise InputError("the cluster did not answer", got=str(error), fix="kubectl cluster-info") from error


def _progress(deployment: Any) -> str | None:
    """Return what a rollout is waiting for, or None when it is done, by the rule of `kubectl rollout status`."""
    status, wanted = deployment.status, deployment.spec.replicas
    updated, total, available = (
        getattr(status, name) or 0 for name in ("updated_replicas", "replicas", "available_replicas")
    )
    if (status.observed_generation or 0) < deployment.metadata.generation:
        return "the Deployment's controller has not seen the change"
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if total > updated:
        return f"{total - updated} old pods are terminating"
    if available < updated:
        return f"{available} of {updated} new pods are ready"
    return None


def _ending(pods: list[Any]) -> str | None:
    """Return how many pods are terminating: the Deployment does not count them, but they may still answer."""
    ending = [pod for pod in pods if not _stays(pod) and _there(pod)]
    return f"{len(ending)} old pods are terminating" if ending else None


def _stays(pod: Any) -> bool:
    return pod.metadata.deletion_timestamp is None


def _there(pod: Any) -> bool:
    """Return whether a pod can answer: one that should have ended long ago is on a lost node, and cannot."""
    return _stays(pod) or bool(pod.metadata.deletion_timestamp > datetime.now(UTC) - timedelta(seconds=LOST_S))


def _release_of(pod: Any) -> str:
    return str((pod.metadata.annotations or {}).get(ANNOTATION, ""))


def _trouble(pods: list[Any], release: str) -> str | None:
    """Return why new pods cannot start, once one has failed often enough."""
    for pod in pods:
        if _release_of(pod) != release:
            continue
        statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
        for status in statuses:
            if status.restart_count >= RESTARTS and not status.ready:
                ended = status.last_state.terminated
                said = (ended.message or ended.reason or "") if ended else ""
                return f"{pod.metadata.name}: {status.name} ended {status.restart_count} times: {said.strip()}"
    return None


def _stuck(deployment: Any) -> bool:
    conditions = deployment.status.conditions or []
    return (
        any(entry.type == "Progressing" and entry.reason == "ProgressDeadlineExceeded" for entry in conditions)
        and (deployment.status.observed_generation or 0) >= deployment.metadata.generation
    )


def _connect() -> tuple[Any, Any]:
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise ConfigError(
            "the Kubernetes client is not installed", fix="pip install 'embedtune[cluster]'"
        ) from error
    # Not load_config, which prints to stdout.
    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config()
        except config.ConfigException as error:
            raise ConfigError(
                "no cluster is configured", got=str(error), fix="run the command in the cluster, or set KUBECONFIG"
            ) from error
    return client.AppsV1Api(), client.CoreV1Api()
