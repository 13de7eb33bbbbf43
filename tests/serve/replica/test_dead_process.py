"""A process of a model is killed: Triton does not notice, so the replica starts it again and proves everything."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import GateError
from embedtune.core.secrets import Secrets
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import PROOF_FILE
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.loader import Loader
from embedtune.serve.replica.run import ReplicaOptions, run_replica
from embedtune.serve.replica.serving import SERVING_FILE, ServingReader
from embedtune.serve.store import pointer
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.models import Models
from embedtune.serve.triton.processes import all_alive, model_processes
from embedtune.serve.triton.server import Ports, TritonServer, free_ports
from embedtune.serve.triton.shared_memory import FOLDER as SHARED_MEMORY
from tests.support.gateway_server import serving
from tests.support.triton_server import Triton, running
from tests.support.waiting import wait_until

REQUEST = {"model": "embedtune", "input": "press"}


def test_each_copy_of_a_model_is_a_process_that_can_be_found(triton: Triton) -> None:
    instances = triton.release.record.serve.instances + 1
    assert len(model_processes(triton.server.pid, triton.model)) == instances
    assert len(model_processes(triton.server.pid, "embedtune")) == 2  # passes requests on to the live release
    assert model_processes(triton.server.pid, triton.model[:-1]) == frozenset()
    assert model_processes(os.getpid(), triton.model) == frozenset()


def test_a_process_that_has_died_is_no_longer_alive_even_if_nobody_has_waited_for_it(
    engine: Path, installation: Installation, tmp_path: Path
) -> None:
    release = build_release(engine, tmp_path, ServeSettings())
    with running(release, installation, tmp_path / "log") as triton:
        processes = model_processes(triton.server.pid, triton.model)
        assert all_alive(processes, triton.server.pid)
        os.kill(min(processes), signal.SIGKILL)
        wait_until(lambda: not all_alive(processes, triton.server.pid))
        assert model_processes(triton.server.pid, triton.model) == processes - {min(processes)}
        triton.server.kill()


def test_a_killed_server_leaves_no_shared_memory_and_another_one_keeps_its_own(
    triton: Triton, engine: Path, installation: Installation, tmp_path: Path
) -> None:
    def regions() -> set[str]:
        return {region.name for region in SHARED_MEMORY.glob("embedtune-*")}

    others = regions()
    assert len(others) >= triton.release.record.serve.instances  # one per process of a model
    release = build_release(engine, tmp_path, ServeSettings())
    with running(release, installation, tmp_path / "log") as killed:
        assert len(regions()) > len(others)
        killed.server.kill()
    assert regions() == others


def test_after_the_death_of_one_process_every_request_is_answered_again(
    engine: Path, installation: Installation, tmp_path: Path
) -> None:
    release = build_release(engine, tmp_path / "built", ServeSettings())
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())
    store.publish(release, "model")
    store.objects.write(pointer.POINTER, Pointer(live=release.id))
    folder, ports, stop = tmp_path / "replica", Ports(*free_ports(3)), threading.Event()
    file = folder / SERVING_FILE
    options = ReplicaOptions(store, folder, ports, poll_s=0.2, log=tmp_path / "log")
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run_replica, options, installation, stop)
        try:
            wait_until(
                lambda: file.exists() and ServingReader(file).read().live_at(time.monotonic()) is not None, 120
            )
            with serving(GatewayOptions(f"127.0.0.1:{ports.grpc}", file)) as url:
                assert httpx.post(f"{url}/v1/embeddings", json=REQUEST).status_code == 200
                (before,) = ServingReader(file).read().proven
                os.kill(min(stubs(before.model)), signal.SIGKILL)
                statuses = {httpx.post(f"{url}/v1/embeddings", json=REQUEST).status_code for _ in range(4)}
                assert statuses <= {200, 503}  # clients try again after 503
                wait_until(lambda: ServingReader(file).read().proven not in ((), (before,)), 120)
                (after,) = ServingReader(file).read().proven
                assert (after.id, after.model != before.model) == (release.id, True)
                statuses = {httpx.post(f"{url}/v1/embeddings", json=REQUEST).status_code for _ in range(10)}
                assert statuses == {200}
        finally:
            stop.set()
            done.result(60)


def stubs(model: str) -> list[int]:
    """Return the processes of a model of any server."""
    groups = {os.getpgid(int(folder.name)) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    return [process for group in groups for process in model_processes(group, model)]


def test_each_process_proves_itself_so_that_a_lying_release_does_not_even_load(
    engine: Path, installation: Installation, tmp_path: Path
) -> None:
    from tests.support.tiny_engine import make_tiny_engine

    release = build_release(engine, tmp_path / "one", ServeSettings(instances=3))
    other = build_release(make_tiny_engine(tmp_path / "other", seed=1), tmp_path / "two", ServeSettings())
    (tmp_path / "models").mkdir()
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())
    with TritonServer(tmp_path / "models", installation, Ports(*free_ports(3)), tmp_path / "log") as server:
        server.start(120)
        name = store.publish(release, "one").id
        loader = Loader(Downloads(store, tmp_path / "replica"), server, Models(server), None)
        loaded = loader.load(name, [], lambda step: None)
        assert len(model_processes(server.pid, loaded.model)) == 4
        (release.path / PROOF_FILE).write_bytes((other.path / PROOF_FILE).read_bytes())
        proof = tmp_path / "models" / loaded.model / "1" / PROOF_FILE
        proof.unlink()
        proof.write_bytes((other.path / PROOF_FILE).read_bytes())
        (tmp_path / "models" / loaded.model / "config.pbtxt").touch()
        with pytest.raises(GateError, match="a process of the model does not return the trained vectors"):
            loader.models.load([loaded.model])
