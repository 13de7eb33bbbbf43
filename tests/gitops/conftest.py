"""A repository with charts/embedtune that a real Argo CD or Flux follows, and a pipeline of one small task.

KUBECONFIG names the cluster; EMBEDTUNE_TEST_ARGOCD and EMBEDTUNE_TEST_FLUX the namespace of each tool's objects
there, such as argocd and flux-system; EMBEDTUNE_TEST_KFP is a Kubeflow Pipelines for one user, as http://host:port;
EMBEDTUNE_TEST_GIT the URL of a repository in which this test may push branches, and which the tools can read; and
EMBEDTUNE_TEST_CPU_IMAGE the image `cpu` that the nodes have.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import find_tool
from tests.support.gitops import RUNS, ArgoCD, Branch, Flux, State, Tool, found, kubectl
from tests.support.markdown import ROOT
from tests.support.waiting import wait_until

NEEDED = ("KUBECONFIG", "EMBEDTUNE_TEST_KFP", "EMBEDTUNE_TEST_GIT", "EMBEDTUNE_TEST_CPU_IMAGE")
TOOLS: dict[str, Callable[[str, str], Tool]] = {"EMBEDTUNE_TEST_ARGOCD": ArgoCD, "EMBEDTUNE_TEST_FLUX": Flux}
VALUES = "gitops/values/retraining.yaml"
PATIENCE_S = 1800  # for a run on a busy machine
PAUSE_S = 3  # between two looks, which are programs


@dataclass(frozen=True)
class World:
    """An installation of the chart that follows a branch.

    Args:
        tool: What follows it.
        branch: The branch, with the chart and its values.
        values: The values that start no run.
    """

    tool: Tool
    branch: Branch
    values: dict[str, Any]

    def write(self, **changes: Any) -> None:
        """Write the values, with other sections than those that start no run."""
        (self.branch.clone / VALUES).write_text(yaml.safe_dump({**self.values, **changes}))

    def ends(self, commit: str, health: str) -> State:
        """Return what the tool says when a commit has ended in this health."""
        self.tool.look()

        def ended() -> bool:
            state = self.tool.state()
            return commit.startswith(state.revision[:12] or "-") and state.health == health

        wait_until(ended, PATIENCE_S, PAUSE_S)
        return self.tool.state()

    def runs(self) -> list[Any]:
        """Return the runs in KFP that this installation started, the oldest first."""
        from kfp_server_api import ApiClient, Configuration, RunServiceApi

        api = RunServiceApi(ApiClient(Configuration(host=os.environ["EMBEDTUNE_TEST_KFP"])))
        listed = api.run_service_list_runs(page_size=200, sort_by="created_at asc").runs or []
        return [run for run in listed if run.display_name.startswith(f"{self.branch.name}-")]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the Jobs that start runs, and those that follow them."""
        selector = f"app.kubernetes.io/instance={self.branch.name}"
        listed = found("-n", RUNS, "jobs", "-l", selector)["items"]
        return [job for job in listed if "-run-" in job["metadata"]["name"]]

    def said(self, job: dict[str, Any]) -> str:
        """Return the last words of a Job's pods."""
        selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
        path = "jsonpath={..terminated.message}"
        return kubectl("-n", RUNS, "get", "pods", "-l", selector, "-o", path)


@pytest.fixture(params=sorted(TOOLS), ids=lambda name: name.rpartition("_")[2].lower())
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if missing := [name for name in (*NEEDED, request.param) if not os.environ.get(name)]:
        pytest.skip(f"not set: {', '.join(missing)}")
    if absent := [name for name in ("git", "kubectl") if find_tool(name) is None]:
        pytest.skip(f"not installed: {', '.join(absent)}")
    url, name = os.environ["EMBEDTUNE_TEST_GIT"], f"test-{uuid.uuid4().hex[:8]}"
    branch = Branch(tmp_path / "clone", url, name)
    shutil.copytree(ROOT / "charts/embedtune", branch.clone / "charts/embedtune")
    (branch.clone / VALUES).parent.mkdir(parents=True)
    made = World(TOOLS[request.param](os.environ[request.param], url), branch, values(tmp_path, name))
    made.write()
    branch.commit("No run")
    try:
        made.tool.follow(name)
        yield made
    finally:
        made.tool.remove()
        branch.remove()


def values(folder: Path, name: str) -> dict[str, Any]:
    return {
        "pipeline": {"compiled": one_task(folder, name)},
        "kfp": {"endpoint": f"http://ml-pipeline.{RUNS}.svc:8888"},
        "networkPolicy": {"enabled": False},  # KFP may be anywhere
    }


def one_task(folder: Path, name: str) -> str:
    """Return a compiled pipeline whose task reads no documents, and fails if they are called `/missing`."""
    from kfp import compiler, dsl

    @dsl.component(base_image=os.environ["EMBEDTUNE_TEST_CPU_IMAGE"], install_kfp_package=False)
    def read(documents: str) -> None:
        if documents == "/missing":
            raise SystemExit("there are no documents")

    @dsl.pipeline(name=name)
    def pipeline(documents: str) -> None:
        read(documents=documents).set_caching_options(False)

    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text()
