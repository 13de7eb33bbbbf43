"""A real Triton for tests: the tritonserver of this machine, or the one that nvidia-pytriton contains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import InputError
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import Release
from embedtune.serve.triton.installation import Installation, find_installation
from embedtune.serve.triton.server import Ports, TritonServer, free_ports


@dataclass(frozen=True)
class Triton:
    """A server that is ready.

    Args:
        http_port: HTTP.
        grpc_port: gRPC.
        metrics_port: Prometheus.
        release: Directory of the release that it serves.
        server: Its process.
    """

    http_port: int
    grpc_port: int
    metrics_port: int
    release: Path
    server: TritonServer


@contextmanager
def running(release: Release, installation: Installation, log: Path) -> Iterator[Triton]:
    http, grpc, metrics = free_ports(3)
    with TritonServer(release, installation, Ports(http, grpc, metrics), log) as server:
        server.start(120)
        yield Triton(http, grpc, metrics, release.path, server)


@contextmanager
def asking(server: Triton) -> Iterator[InferenceServerClient]:
    """Connect to a server over gRPC."""
    client = InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="session")
def installation() -> Installation:
    try:
        return find_installation()
    except InputError as error:
        pytest.skip(f"no Triton here: {error}")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny engine for the target python-cpu; its contract has prefixes, 64 tokens, 32 and 16 dimensions."""
    from tests.support.tiny_engine import make_tiny_engine  # it imports torch, which most tests do without

    return make_tiny_engine(tmp_path_factory.mktemp("engine") / "engine")


@pytest.fixture(scope="session")
def triton(engine: Path, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Triton over a release of the tiny engine, with the default settings; one for all tests."""
    folder = tmp_path_factory.mktemp("triton")
    release = build_release(engine, folder, ServeSettings())
    with running(release, installation, folder / "log") as server:
        yield server
