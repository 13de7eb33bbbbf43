"""Argo CD and Flux as a test sees them: each follows a branch with one of the examples in gitops/."""

import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.support.markdown import ROOT

EXAMPLES = ROOT / "gitops"
RUNS = "kubeflow"  # the namespace in which a KFP for one user starts its runs


@dataclass(frozen=True)
class State:
    """What a tool says about an installation.

    Args:
        health: "healthy", "progressing" or "failed".
        revision: The commit that it has tried last.
        message: All that it says.
    """

    health: str
    revision: str
    message: str


class Tool(Protocol):
    """What follows a branch, and installs charts/embedtune from it."""

    def follow(self, branch: str) -> None:
        """Begin to follow a branch, whose name is that of the installation, too."""

    def look(self) -> None:
        """Fetch the branch now, rather than after some minutes."""

    def sync_again(self) -> None:
        """Install the same commit again."""

    def state(self) -> State:
        """Return what it says."""

    def remove(self) -> None:
        """Stop following, and remove what was installed."""


def run(*command: str, text: str = "") -> str:
    """Return what a command prints; fail the test with its error."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def kubectl(*arguments: str, text: str = "") -> str:
    return run("kubectl", *arguments, text=text)


def found(*arguments: str) -> dict[str, Any]:
    """Return an object of the cluster."""
    read: dict[str, Any] = json.loads(kubectl("get", *arguments, "-o", "json"))
    return read


def apply(made: dict[str, Any]) -> None:
    kubectl("apply", "--server-side", "-f", "-", text=json.dumps(made))


def example(path: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text())
    return read


class ArgoCD:
    """An Argo CD whose Applications are in a namespace."""

    def __init__(self, namespace: str, url: str) -> None:
        self.namespace, self.url = namespace, url
        self.name = ""

    def follow(self, branch: str) -> None:
        self.name = branch
        made = example("argo-cd/retraining.yaml")
        made["metadata"] |= {"name": branch, "namespace": self.namespace}
        made["metadata"]["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]  # the objects go with it
        made["spec"]["source"] |= {"repoURL": self.url, "targetRevision": branch}
        made["spec"]["source"]["helm"]["releaseName"] = branch
        made["spec"]["destination"]["namespace"] = RUNS
        apply(made)

    def look(self) -> None:
        self._annotate("refresh=normal")

    def sync_again(self) -> None:
        operation = {"operation": {"initiatedBy": {"username": "test"}, "sync": {"prune": True}}}
        self._call("patch", "--type=merge", "-p", json.dumps(operation))

    def state(self) -> State:
        status = found("-n", self.namespace, "applications.argoproj.io", self.name).get("status", {})
        conditions = status.get("conditions", ())
        says = "\n".join(entry["message"] for entry in conditions)
        if any(entry["type"].endswith("Error") for entry in conditions):
            # Of a commit that cannot be rendered, only the command in the message names it.
            tried = re.search(r"retrain\.commit=([0-9a-f]+)", says)
            return State("failed", tried[1] if tried else "", says)
        synced = status.get("sync", {})
        words = {"Healthy": "healthy", "Degraded": "failed"} if synced.get("status") == "Synced" else {}
        word = words.get(status.get("health", {}).get("status", ""), "progressing")
        return State(word, synced.get("revision", ""), says)

    def remove(self) -> None:
        self._call("delete", "--ignore-not-found", "--timeout=120s")

    def _annotate(self, text: str) -> None:
        self._call("annotate", "--overwrite", f"argocd.argoproj.io/{text}")

    def _call(self, verb: str, *options: str) -> None:
        kubectl("-n", self.namespace, verb, "applications.argoproj.io", self.name, *options)


class Flux:
    """A Flux whose objects are in a namespace."""

    def __init__(self, namespace: str, url: str) -> None:
        self.namespace, self.url = namespace, url
        self.name = ""

    def follow(self, branch: str) -> None:
        self.name = branch
        source, release = example("flux/source.yaml"), example("flux/retraining.yaml")
        for made in (source, release):
            made["metadata"] |= {"name": branch, "namespace": self.namespace}
        source["spec"] |= {"url": self.url, "ref": {"branch": branch}}
        release["spec"] |= {"releaseName": branch, "targetNamespace": RUNS}
        release["spec"]["chart"]["spec"]["sourceRef"]["name"] = branch
        apply(source)
        apply(release)

    def look(self) -> None:
        self._ask("gitrepository", "requestedAt")

    def sync_again(self) -> None:
        self._ask("helmrelease", "requestedAt", "forceAt")

    def state(self) -> State:
        status = found("-n", self.namespace, "helmrelease", self.name).get("status", {})
        conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
        ready = conditions.get("Ready", {})
        word = {"True": "healthy", "False": "failed"}.get(ready.get("status", ""), "progressing")
        if "Reconciling" in conditions and "Stalled" not in conditions and ready.get("reason") == "Progressing":
            word = "progressing"
        _, _, commit = str(status.get("lastAttemptedRevision", "")).partition("+")
        return State(word, commit, ready.get("message", ""))

    def remove(self) -> None:
        for kind in ("helmrelease", "gitrepository"):
            kubectl("-n", self.namespace, "delete", kind, self.name, "--ignore-not-found", "--timeout=120s")

    def _ask(self, kind: str, *words: str) -> None:
        now = [f"reconcile.fluxcd.io/{word}={time.time_ns()}" for word in words]
        kubectl("-n", self.namespace, "annotate", kind, self.name, "--overwrite", *now)


class Branch:
    """A branch of a repository that a tool follows, in a clone of its own."""

    def __init__(self, clone: Path, url: str, name: str) -> None:
        self.clone, self.name = clone, name
        run("git", "init", "-q", "-b", name, str(clone))
        for key, value in {"user.name": "test", "user.email": "test@example.org"}.items():
            self.git("config", key, value)
        self.git("remote", "add", "origin", url)

    def commit(self, subject: str) -> str:
        """Commit and push what is in the clone, and return the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        return self.push()

    def revert(self) -> str:
        """Revert the newest commit."""
        self.git("revert", "--no-edit", "HEAD")
        return self.push()

    def push(self) -> str:
        self.git("push", "-q", "origin", f"HEAD:refs/heads/{self.name}")
        return self.git("rev-parse", "HEAD").strip()

    def remove(self) -> None:
        self.git("push", "-q", "origin", f":refs/heads/{self.name}")

    def git(self, *words: str) -> str:
        return run("git", "-C", str(self.clone), *words)
