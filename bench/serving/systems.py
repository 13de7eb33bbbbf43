"""The servers to compare: how each is started, and when it is ready. All run on the cores of this process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.secrets import Secrets
from embedtune.serve.release.build import build_release
from embedtune.serve.store.pointer import POINTER
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.server import free_ports

START_S = 600.0  # infinity-emb benchmarks itself first


@dataclass(frozen=True)
class System:
    """A running server.

    Args:
        name: Its name in the table.
        kind: The client in load.py to use.
        port: Its port on 127.0.0.1.
        serving: For a Triton of ours: the folder from which a gateway knows what may answer.
        processes: Ids of its processes, without their children.
    """

    name: str
    kind: str
    port: int
    serving: Path | None = None
    processes: tuple[int, ...] = ()


@contextmanager
def triton(name: str, engine: Path, settings: ServeSettings, folder: Path) -> Iterator[System]:
    """Serve an engine as `embedtune deploy` does: by a replica that follows a store with one live release."""
    http, grpc, metrics = free_ports(3)
    folder.mkdir(parents=True)
    release = build_release(engine, folder, settings)
    store = ReleaseStore(str(folder / "store"), StorageSettings(), Secrets())
    store.publish(release, name)
    store.objects.write(POINTER, Pointer(live=release.id))
    command = [sys.executable, "-m", "embedtune.serve.pod", str(folder)]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    system = System(name, "triton", grpc, folder)
    here = replace(system, port=http)
    variables = {"EMBEDTUNE_RELEASES": str(folder / "store")}
    with running(here, command, f"/v2/models/{settings.model_name}/ready", folder / "log", **variables) as ready:
        yield replace(system, processes=ready.processes)


def gateway(name: str, behind: System, folder: Path) -> AbstractContextManager[System]:
    """Run the gateway in front of a running Triton."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "embedtune.serve.gateway", "--port", str(port), "--drain", "0"]
    command += ["--triton", f"127.0.0.1:{behind.port}", "--serving", str(behind.serving)]
    system = System(name, "gateway", port, processes=behind.processes)
    return running(system, command, "/health", folder / "gateway.log")


@contextmanager
def running(
    system: System, command: Sequence[str], health: str, log: Path, **environment: str
) -> Iterator[System]:
    """Run a server in the folder of its log until the context ends; it is ready when `health` returns 200."""
    with log.open("w") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=log.parent, env={**os.environ, **environment}
        )
    try:
        deadline = time.monotonic() + START_S
        while not _healthy(f"http://127.0.0.1:{system.port}{health}"):
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{system.name} does not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield replace(system, processes=(*system.processes, server.pid))
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
