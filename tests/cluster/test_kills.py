"""Pods, their processes, the store and the deployment are killed during switches; nothing wrong answers.

Besides what conftest.py needs: EMBEDTUNE_TEST_MINIO, a program that starts a MinIO server, since the store is
killed too; pods reach it at the host of EMBEDTUNE_TEST_CLUSTER_S3. EMBEDTUNE_TEST_KILLS is the number of kills
(default: 10), EMBEDTUNE_TEST_SEED chooses the moments. SIGKILL cannot reach the first process of a container from
within, so the gateway dies when its pod is deleted by force.
"""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedtune.serve.pod import store_environment
from embedtune.serve.release.record import Release
from embedtune.serve.store.store import ReleaseStore
from tests.cluster.conftest import KEY, a_namespace, install, kubectl, require_cluster
from tests.support.judged_load import Judge, loaded
from tests.support.kills import start_deployment, two_and_a_liar
from tests.support.minio_server import MinioServer, needs_program
from tests.support.object_store import SECRETS, Bucket

pytestmark = [pytest.mark.cluster, needs_program]
KILLS = int(os.environ.get("EMBEDTUNE_TEST_KILLS", "10"))
SEED = int(os.environ.get("EMBEDTUNE_TEST_SEED", "1"))
VICTIMS = ("pod", "deploy", "store", "triton", "stub")
LONGEST_OUTAGE_S = 5.0  # of the store; a switch is announced 10 s before
LONGEST_S = 20.0  # from the start of a deployment: to load, to prove, and 10 s until the switch
# In a container: the children of its first process, or the first of theirs.
KILL = """
import os, pathlib, signal, sys
def children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]
found = children(1)
if sys.argv[1] == "stub":
    found = [stub for triton in found for stub in children(triton)][:1]
for pid in found:
    os.kill(pid, signal.SIGKILL)
print(len(found))
"""


@dataclass(frozen=True)
class World:
    """The chart in a namespace, and the store that its pods follow.

    Args:
        namespace: The namespace.
        minio: The store's server.
        store: The store.
        releases: Two good ones, and one with the reference of the first.
        judge: Asks the gateway through its Service.
        folder: For the deployment.
    """

    namespace: str
    minio: MinioServer
    store: ReleaseStore
    releases: list[Release]
    judge: Judge
    folder: Path

    def deploy(self, name: str) -> subprocess.Popen[bytes]:
        """Start a deployment of a release, and return when it begins."""
        environment = {**os.environ, **store_environment(self.store.objects.uri, self.minio.storage, None)}
        return start_deployment(self.store.objects.uri, name, self.folder, environment, timeout_s=120)

    def kill(self, victim: str, rng: random.Random) -> None:
        """Kill the store, a pod, or in one of the pods Triton or a process of one of its models."""
        if victim == "store":
            self.minio.kill()
            time.sleep(rng.uniform(0, LONGEST_OUTAGE_S))
            self.minio.start()
            return
        selector = ("-l", "app.kubernetes.io/component=server", "-o", "jsonpath={.items[*].metadata.name}")
        pod = rng.choice(kubectl("-n", self.namespace, "get", "pods", *selector).split())
        if victim == "pod":
            kubectl("-n", self.namespace, "delete", "pod", pod, "--grace-period=0", "--force")
        else:
            python = ("exec", pod, "-c", "triton", "--", "python", "-c", KILL, victim)
            kubectl("-n", self.namespace, *python)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    require_cluster()
    host, _, _ = os.environ["EMBEDTUNE_TEST_CLUSTER_S3"].rpartition(":")
    with MinioServer(tmp_path / "minio", host) as minio, a_namespace() as namespace:
        bucket = Bucket(minio.endpoint)
        store = ReleaseStore(f"s3://{bucket.name}/releases", minio.storage, SECRETS, 3.0)
        releases = two_and_a_liar(tmp_path)
        for release in releases:
            store.publish(release, release.id)
        url = install(namespace, minio.endpoint, bucket)
        yield World(namespace, minio, store, releases, Judge(store, url, releases[:2], KEY), tmp_path)


def test_no_kill_at_any_moment_of_a_switch_lets_a_wrong_answer_out(world: World, tmp_path: Path) -> None:
    rng, judge, (one, two, lying) = random.Random(SEED), world.judge, world.releases
    with loaded(judge, clients=3):
        assert world.deploy(one.id).wait(240) == 0
        for number in range(KILLS):
            before = judge.pointer().live
            new = lying if rng.random() < 0.25 else (two if before == one.id else one)
            deploying = world.deploy(new.id)
            pause, victim = rng.uniform(0, LONGEST_S), VICTIMS[number % len(VICTIMS)]
            with suppress(subprocess.TimeoutExpired):
                deploying.wait(pause)
            if victim == "deploy":
                deploying.kill()
            else:
                world.kill(victim, rng)
            went_live = deploying.wait(300) == 0
            pointer = judge.pointer()
            assert pointer.live != lying.id
            assert not went_live or (pointer.live, pointer.kept) == (new.id, before)
            judge.wait_for(pointer.live, f"kill {number} ({victim} after {pause:.1f} s)")
    wrong = judge.wrong()
    assert not wrong, f"{wrong}; the switches were {judge.switches}"
    assert len(judge.answers) > 20 * KILLS
    whole = [world.store.download(release.id, tmp_path / "whole").id for release in world.store.releases()]
    assert sorted(whole) == sorted(release.id for release in world.releases)
