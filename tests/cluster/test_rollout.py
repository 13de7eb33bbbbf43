"""Rollouts of the chart on a real Kubernetes, with real Triton, under load: failures are rolled back."""

import json
import random
import subprocess
import time

import pytest

from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import go_live
from tests.charts.conftest import CHART
from tests.cluster.conftest import KEY, World, kubectl
from tests.support.cluster_load import Ask, loaded, with_retries, without_retries

pytestmark = pytest.mark.cluster


def impatient(world: World) -> list[Ask]:
    """Clients without retries: two keep their connections open, two open a new one for each request."""
    return [without_retries(world.url, KEY, keep_alive=number < 2) for number in range(4)]


def require_live(world: World, name: str) -> None:
    live = world.store.live()
    assert live is not None
    assert live.id == name
    assert world.site.serving.current() == name
    assert set(world.pods().values()) == {name}
    assert len(world.pods()) == 2


@pytest.fixture
def one(world: World) -> str:
    """The id of the first release, which is live."""
    go_live(world.site, world.good[0], SilentProgress())
    return world.good[0].id


def test_a_first_release_with_wrong_vectors_serves_no_client_and_does_not_block_the_next(world: World) -> None:
    with pytest.raises(GateError, match=r"nothing is live(.|\n)*does not return the trained vectors"):
        go_live(world.site, world.wrong, SilentProgress())
    assert world.site.serving.current() is None
    assert world.site.champion() is None
    assert set(world.pods().values()) == {""}


def test_the_first_release_goes_live_and_helm_test_passes(world: World) -> None:
    assert world.site.serving.current() is None
    smoke = go_live(world.site, world.good[0], SilentProgress())
    assert smoke.cosines.min() > 0.9999
    require_live(world, world.good[0].id)
    assert "Succeeded" in world.helm("test", "embedtune")


def test_a_rolling_update_under_load_fails_no_request(world: World, one: str) -> None:
    other = world.good[1]
    with loaded(world.texts, impatient(world)) as load:
        go_live(world.site, other, SilentProgress())
        after = time.monotonic()
        time.sleep(2)
    assert load.failures == []
    assert load.releases() == {one, other.id}
    assert load.releases(since=after) == {other.id}
    assert len(load.answers) > 100
    require_live(world, other.id)


def test_a_release_that_was_damaged_in_the_bucket_is_rolled_back_and_serves_no_client(
    world: World, one: str
) -> None:
    said = rf"{one} is live again(.|\n)*damaged in the store(.|\n)*model.onnx"
    with loaded(world.texts, impatient(world)) as load, pytest.raises(GateError, match=said):
        go_live(world.site, world.damaged, SilentProgress())
    assert load.failures == []
    assert load.releases() == {one}
    require_live(world, one)


def test_a_release_with_wrong_vectors_is_rolled_back_without_a_failed_request(world: World, one: str) -> None:
    with loaded(world.texts, impatient(world)) as load:
        with pytest.raises(GateError, match=rf"{one} is live again(.|\n)*does not return the trained vectors"):
            go_live(world.site, world.wrong, SilentProgress())
        after = time.monotonic()
        time.sleep(2)
    assert load.failures == []
    assert load.releases(since=after) == {one}
    require_live(world, one)


def test_an_upgrade_of_the_chart_keeps_the_live_release(world: World, one: str) -> None:
    world.helm(
        "upgrade", "embedtune", str(CHART), "--reuse-values", "--set", "podAnnotations.team=search", "--wait"
    )
    assert world.site.serving.current() == one
    assert set(world.pods().values()) == {one}
    manifest = world.helm("get", "manifest", "embedtune")
    assert "team: search" in manifest
    assert one in manifest


def test_deploy_is_the_only_owner_of_the_fields_it_sets(world: World, one: str) -> None:
    # By this name Argo CD and Helm know which fields to leave alone.
    go_live(world.site, world.good[1], SilentProgress())
    where = ("-n", world.namespace, "get", "deploy/embedtune-triton", "-o", "json", "--show-managed-fields")
    fields = json.loads(kubectl(*where))["metadata"]["managedFields"]
    template = {entry["manager"]: entry["fieldsV1"] for entry in fields}["embedtune-deploy"]["f:spec"][
        "f:template"
    ]
    assert template["f:metadata"] == {"f:annotations": {"f:embedtune.dev/release": {}}}
    containers = template["f:spec"]["f:initContainers"]
    assert containers == {'k:{"name":"release"}': {"f:env": {'k:{"name":"EMBEDTUNE_RELEASE"}': {"f:value": {}}}}}


def test_ten_pods_are_deleted_under_load_and_patient_clients_get_no_wrong_answer(world: World, one: str) -> None:
    rng = random.Random(0)
    with loaded(world.texts, [with_retries(world.url, KEY) for _ in range(4)]) as load:
        for number in range(10):
            how = ["--grace-period=0", "--force"] if number % 2 else ["--wait=false"]
            pod = rng.choice(sorted(world.pods()))
            # It may have ended by then.
            command = ["kubectl", "-n", world.namespace, "delete", "pod", pod, "--ignore-not-found", *how]
            subprocess.run(command, check=True, capture_output=True)
            time.sleep(rng.uniform(1, 8))
        kubectl("-n", world.namespace, "rollout", "status", "deploy/embedtune-triton", "--timeout=180s")
    assert load.failures == []
    assert load.releases() == {one}
    assert len(load.answers) > 100
