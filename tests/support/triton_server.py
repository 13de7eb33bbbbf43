"""A real Triton for tests: the tritonserver of this machine, or the one that nvidia-pytriton contains."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient

from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import Release
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.loader import Loader
from embedtune.serve.replica.serving import DOWNLOADS, SERVING_FILE, ProvenRelease, Serving, write_serving
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.exposure import GrpcTls
from embedtune.serve.triton.installation import Installation, find_installation
from embedtune.serve.triton.models import Models
from embedtune.serve.triton.server import Ports, TritonServer, free_ports


@dataclass(frozen=True)
class Triton:
    """A server that is ready.

    Args:
        http_port: HTTP.
        grpc_port: gRPC.
        metrics_port: Prometheus.
        release: The release that is live on it.
        server: Its process.
        serving: The file from which gateways know what may answer.
        model: The endpoint model of that release; `embedtune` passes requests on to it.
    """

    http_port: int
    grpc_port: int
    metrics_port: int
    release: Release
    server: TritonServer
    serving: Path
    model: str


@contextmanager
def running(
    release: Release,
    installation: Installation,
    log: Path,
    traces: Sequence[str] = (),
    tls: GrpcTls | None = None,
) -> Iterator[Triton]:
    """Serve one release, loaded and proven as a replica does it, without a follower."""
    folder = log.with_name(f"{log.name}-replica")
    repository, file, ports = folder / "models", folder / SERVING_FILE, Ports(*free_ports(3))
    repository.mkdir(parents=True)
    store = ReleaseStore(str(folder / "store"), StorageSettings(), Secrets())
    store.publish(release, "model")
    cache = release.record.serve.response_cache_mb
    with TritonServer(repository, installation, ports, log, tls, cache, traces) as server:
        server.start(120)
        loader = Loader(Downloads(store, folder / DOWNLOADS), server, Models(server), None)
        loaded = loader.load(release.id, [], lambda step: None)
        # Written once, for longer than any test runs.
        proven = (ProvenRelease(id=release.id, model=loaded.model),)
        write_serving(file, Serving(written=time.monotonic() + 86_400, proven=proven, live=release.id))
        loader.expose(loaded, file)
        yield Triton(ports.http, ports.grpc, ports.metrics, release, server, file, loaded.model)


def options(triton: Triton, **more: Any) -> GatewayOptions:
    """Return the options of a gateway in front of a server."""
    return GatewayOptions(f"127.0.0.1:{triton.grpc_port}", triton.serving, **more)


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
