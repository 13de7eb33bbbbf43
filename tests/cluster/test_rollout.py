"""Rollouts of the chart on a real Kubernetes, with real Triton, under load: what fails serves no client."""

import json
import random
import subprocess
import time
from collections.abc import Callable

import pytest

from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import go_live
from embedtune.deploy.stuck_pods import stuck_pods
from tests.charts.conftest import CHART
from tests.cluster.conftest import KEY, World, kubectl
from tests.support.cluster_load import Ask, loaded, with_retries, without_retries

pytestmark = pytest.mark.cluster


def impatient(world: World) -> list[Ask]:
    """Clients without retries: two keep their connections open, two open a new one for each request."""
    return [without_retries(world.url, KEY, keep_alive=number < 2) for number in range(4)]


def require_live(world: World, name: str) -> None:
    assert world.store.pointer().live == name
    assert list(world.live().values()) == [name, name]
    assert len(world.pods()) == 2


@pytest.fixture
def one(world: World) -> str:
    """The id of the first release, which is live."""
    go_live(world.site, world.good[0].id, SilentProgress())
    return world.good[0].id


def test_a_fresh_installation_waits_without_failing(world: World) -> None:
    path = "jsonpath={.items[*].status.initContainerStatuses[*].restartCount}"
    wait(lambda: set(world.live().values()) == {None})
    assert set(kubectl("-n", world.namespace, "get", "pods", "-o", path).split()) == {"0"}


def test_a_first_release_with_wrong_vectors_serves_no_client_and_does_not_block_the_next(world: World) -> None:
    with pytest.raises(GateError, match=r"nothing is live(.|\n)*does not return the trained vectors"):
        go_live(world.site, world.wrong.id, SilentProgress())
    assert world.site.champion() is None
    assert set(world.live().values()) == {None}


def test_the_first_release_goes_live_and_helm_test_passes(world: World) -> None:
    done = go_live(world.site, world.good[0].id, SilentProgress())
    assert done.drift.cosine.min > 0.9999
    require_live(world, world.good[0].id)
    kubectl("-n", world.namespace, "rollout", "status", "deploy/embedtune-triton", "--timeout=60s")
    assert "Succeeded" in world.helm("test", "embedtune")


def test_a_switch_under_load_fails_no_request_and_mixes_nothing(world: World, one: str) -> None:
    other, pods = world.good[1].id, world.pods()
    with loaded(world.texts, impatient(world)) as load:
        go_live(world.site, other, SilentProgress())
        after = time.monotonic()
        time.sleep(2)
    assert load.failures == []
    assert load.releases() == {one, other}
    assert load.releases(since=after) == {other}
    assert len(load.answers) > 100
    require_live(world, other)
    assert world.pods() == pods


def test_a_release_that_was_damaged_in_the_bucket_serves_no_client(world: World, one: str) -> None:
    said = rf"{one[:16]} is live(.|\n)*damaged in the store(.|\n)*model.onnx"
    with loaded(world.texts, impatient(world)) as load, pytest.raises(GateError, match=said):
        go_live(world.site, world.damaged.id, SilentProgress())
    assert load.failures == []
    assert load.releases() == {one}
    require_live(world, one)


def test_a_release_with_wrong_vectors_serves_no_client(world: World, one: str) -> None:
    with loaded(world.texts, impatient(world)) as load:
        with pytest.raises(GateError, match=rf"{one[:16]} is live(.|\n)*does not return the trained vectors"):
            go_live(world.site, world.wrong.id, SilentProgress())
        time.sleep(2)
    assert load.failures == []
    assert load.releases() == {one}
    require_live(world, one)


def test_helm_finds_nothing_changed_and_upgrades_and_rolls_back(world: World, one: str) -> None:
    world.helm(
        "upgrade", "embedtune", str(CHART), "--reuse-values", "--set", "podAnnotations.team=search", "--wait"
    )
    go_live(world.site, world.good[1].id, SilentProgress())
    world.helm("rollback", "embedtune", "1", "--wait")
    wait(lambda: set(world.live().values()) == {world.good[1].id})
    assert world.site.store.pointer().live == world.good[1].id


def test_pods_without_an_image_or_a_node_are_named_to_who_deploys(world: World, one: str) -> None:
    settings = {"an image": "image.tag=none", "a node": "triton.resources.requests.cpu=1000"}
    for missing, words in (("an image", "Image"), ("a node", "Unschedulable: ")):
        world.helm("upgrade", "embedtune", str(CHART), "--reuse-values", "--set", settings[missing])
        wait(lambda words=words: any(words in line for line in stuck_pods(world.site.deploy) or []))
        world.helm("rollback", "embedtune")
    wait(lambda: stuck_pods(world.site.deploy) == [])


def test_evictions_pod_by_pod_lose_no_request(world: World, one: str) -> None:
    """As when a node is drained: the budget refuses the second eviction until the first pod is replaced."""
    pods, refused = world.pods(), 0
    with loaded(world.texts, impatient(world)) as load:
        for pod in pods:
            deadline = time.monotonic() + 120
            while not evicted(world.namespace, pod):
                refused += 1
                assert time.monotonic() < deadline, "the eviction was refused for two minutes"
                time.sleep(1)
        wait(lambda: set(world.pods()).isdisjoint(pods))
    assert load.failures == []
    assert load.releases() == {one}
    assert len(load.answers) > 100
    assert refused


def test_a_rolling_upgrade_of_the_chart_under_load_loses_no_request(world: World, one: str) -> None:
    pods = world.pods()
    with loaded(world.texts, impatient(world)) as load:
        world.helm(
            *("upgrade", "embedtune", str(CHART), "--reuse-values", "--wait"),
            *("--set-string", f"podAnnotations.at={time.time()}"),
        )
        wait(lambda: set(world.pods()).isdisjoint(pods))
    assert load.failures == []
    assert load.releases() == {one}
    assert len(load.answers) > 100


def test_turning_autoscaling_on_takes_no_pod_away(world: World, one: str) -> None:
    pods = world.pods()
    settings = (
        "--set",
        "autoscaling.enabled=true",
        "--set",
        "autoscaling.max=3",
        "--set",
        "autoscaling.metric=cpu",
    )
    world.helm("upgrade", "embedtune", str(CHART), "--reuse-values", *settings)
    path = "jsonpath={.status.desiredReplicas}"
    wait(lambda: kubectl("-n", world.namespace, "get", "hpa/embedtune-triton", "-o", path) not in ("", "0"))
    deployment = ("-n", world.namespace, "get", "deploy/embedtune-triton", "-o", "jsonpath={.spec.replicas}")
    assert int(kubectl(*deployment)) >= 2
    assert set(pods) <= set(world.pods())
    off = ("--set", "autoscaling.enabled=false", "--force-conflicts", "--wait")  # the autoscaler wrote the number
    world.helm("upgrade", "embedtune", str(CHART), "--reuse-values", *off)
    assert kubectl(*deployment) == "2"


def test_ten_pods_are_deleted_under_load_and_patient_clients_get_no_wrong_answer(world: World, one: str) -> None:
    rng = random.Random(0)
    with loaded(world.texts, [with_retries(world.url, KEY) for _ in range(4)]) as load:
        for number in range(10):
            how = ["--grace-period=0", "--force"] if number % 2 else ["--wait=false"]
            pod = rng.choice(world.pods())
            # It may have ended by then.
            command = ["kubectl", "-n", world.namespace, "delete", "pod", pod, "--ignore-not-found", *how]
            subprocess.run(command, check=True, capture_output=True)
            time.sleep(rng.uniform(1, 8))
        kubectl("-n", world.namespace, "rollout", "status", "deploy/embedtune-triton", "--timeout=180s")
    assert load.failures == []
    assert load.releases() == {one}
    assert len(load.answers) > 100


def evicted(namespace: str, pod: str) -> bool:
    """Ask for the eviction of a pod; return whether it was granted."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    done = subprocess.run(
        ["kubectl", "create", "-f", "-", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "disruption budget" in done.stderr, done.stderr
    return done.returncode == 0


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(1)
