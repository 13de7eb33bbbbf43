"""The servers to compare: how each is started, and when it is ready. All run on the cores of this process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.release.build import build_release
from embedtune.serve.triton.installation import find_installation
from embedtune.serve.triton.server import Ports, TritonServer, free_ports

START_S = 600.0  # infinity-emb benchmarks itself first


@dataclass(frozen=True)
class System:
    """A running server.

    Args:
        name: Its name in the table.
        kind: The client in load.py to use.
        port: Its port on 127.0.0.1.
    """

    name: str
    kind: str
    port: int


@contextmanager
def triton(name: str, engine: Path, settings: ServeSettings, folder: Path) -> Iterator[System]:
    """Serve an engine with the real Triton, over gRPC."""
    http, grpc, metrics = free_ports(3)
    folder.mkdir(parents=True)
    release = build_release(engine, folder, settings)
    with TritonServer(release, find_installation(), Ports(http, grpc, metrics), folder / "log") as server:
        server.start(START_S)
        yield System(name, "triton", grpc)


def gateway(name: str, behind: System, folder: Path) -> AbstractContextManager[System]:
    """Run the gateway in front of a running Triton."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "embedtune.serve.gateway", "--port", str(port), "--drain", "0"]
    command += ["--triton", f"127.0.0.1:{behind.port}"]
    return running(System(name, "gateway", port), command, "/health", folder / "gateway.log")


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
        yield system
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
