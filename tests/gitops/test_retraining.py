"""What a commit starts, and what Argo CD and Flux show of it, in a real cluster."""

import pytest

from tests.gitops.conftest import PATIENCE_S, PAUSE_S, RUNS, World
from tests.support.gitops import kubectl
from tests.support.waiting import wait_until

pytestmark = pytest.mark.gitops


def of(documents: str, **changes: object) -> dict[str, object]:
    return {"parameters": {"documents": documents}, **changes}


def states(world: World) -> list[str]:
    return [run.state for run in world.runs()]


def test_a_commit_starts_one_run_and_nothing_else_does(world: World) -> None:
    world.ends(world.branch.git("rev-parse", "HEAD").strip(), "healthy")
    assert world.runs() == []

    world.write(retrain=of("/here"))
    commit = world.branch.commit("Retrain")
    world.ends(commit, "healthy")  # which it is only when the run has ended
    assert states(world) == ["SUCCEEDED"]
    assert world.runs()[0].description.startswith(f"commit {commit[:7]}")

    world.tool.sync_again()
    (job,) = world.jobs()
    kubectl("-n", RUNS, "delete", "job", job["metadata"]["name"])
    world.write(retrain=of("/here"), jobs={"podAnnotations": {"example.org/owner": "search"}})
    world.ends(world.branch.commit("Another annotation"), "healthy")
    (other,) = world.jobs()
    assert other["metadata"]["name"] != job["metadata"]["name"]
    # It found the run, and followed it to its end.
    wait_until(lambda: "succeeded" in world.jobs()[0]["status"], PATIENCE_S, PAUSE_S)
    assert states(world) == ["SUCCEEDED"]


def test_a_wrong_value_is_named_and_starts_nothing(world: World) -> None:
    world.write(retrain=of("/here"))
    world.ends(world.branch.commit("Retrain"), "healthy")
    (job,) = world.jobs()
    world.write(retrain={"parameters": {"documents": "/there", "base_modell": "minilm"}})
    said = world.ends(world.branch.commit("A misspelt parameter"), "failed").message
    assert "base_modell" in said
    assert world.jobs()[0]["metadata"]["uid"] == job["metadata"]["uid"]
    world.ends(world.branch.revert(), "healthy")
    assert states(world) == ["SUCCEEDED"]


def test_a_run_that_fails_is_seen_and_a_revert_starts_none(world: World) -> None:
    world.write(retrain=of("/here"))
    world.ends(world.branch.commit("Retrain"), "healthy")
    world.write(retrain=of("/missing"))
    world.ends(world.branch.commit("Documents that are missing"), "failed")
    (failed,) = [job for job in world.jobs() if job["status"].get("failed")]
    assert "there are no documents" in world.said(failed)
    assert states(world) == ["SUCCEEDED", "FAILED"]

    world.ends(world.branch.revert(), "healthy")
    assert states(world) == ["SUCCEEDED", "FAILED"]
