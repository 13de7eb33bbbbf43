"""Triton on this machine, for as long as this process needs it; it serves what it is told to load."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import urllib3

from embedtune.core.errors import InputError
from embedtune.serve.release.config_pbtxt import BACKENDS
from embedtune.serve.release.record import Release, short
from embedtune.serve.triton.exposure import GrpcTls, new_control_key, restriction_flags
from embedtune.serve.triton.gpu import compute_capability, require_same_gpu, tensorrt_version
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.shared_memory import SharedMemory

POLL_S = 0.1
STOP_S = 15.0  # for requests in progress; connections that clients keep open can also delay the end this long
LOG_LINES = 15
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a pod, a NetworkPolicy decides who may connect


@dataclass(frozen=True)
class Ports:
    """The ports that Triton listens on, and the address of each: by default none is reachable from elsewhere.

    Args:
        http: Port of HTTP. Before Triton 25.07 a single chunked request can end the server (docs/security.md).
        grpc: Port of gRPC.
        metrics: Port of the Prometheus metrics.
        http_address: Address that HTTP listens on; 0.0.0.0: all.
        grpc_address: The same for gRPC.
        metrics_address: The same for the metrics.
    """

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002
    http_address: str = LOOPBACK
    grpc_address: str = LOOPBACK
    metrics_address: str = LOOPBACK


def free_ports(count: int) -> list[int]:
    """Return TCP ports of 127.0.0.1 on which nothing listens now, for short-lived servers.

    Args:
        count: How many ports; all differ.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def server_command(
    repository: Path,
    installation: Installation,
    ports: Ports,
    key: str,
    tls: GrpcTls | None = None,
    cache_mb: int = 0,
    more: Sequence[str] = (),
) -> list[str]:
    """Return the command of a server that loads nothing by itself.

    Args:
        repository: Its model repository.
        installation: The tritonserver to run.
        ports: Where it listens.
        key: Key of the restricted APIs, from `new_control_key`. Other users of this machine can see it in the list
            of processes; Triton takes it from nowhere else.
        tls: TLS of the gRPC port; None: none.
        cache_mb: Size of its response cache in MB; 0: none.
        more: Further options, such as those from `trace_flags`.

    Raises:
        InputError: A file for TLS cannot be read.
    """
    command = [
        str(installation.server),
        f"--model-repository={repository}",
        f"--backend-directory={installation.backends}",
        f"--http-address={ports.http_address}",
        f"--http-port={ports.http}",
        f"--grpc-address={ports.grpc_address}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={ports.metrics_address}",
        f"--metrics-port={ports.metrics}",
        # A release answers only after its proof: nothing is loaded at startup, or because a file appears.
        "--model-control-mode=explicit",
        # Otherwise it is not ready while a model loads, and never again after one has failed to.
        "--strict-readiness=false",
        f"--exit-timeout-secs={int(STOP_S)}",
        *restriction_flags(key),
        *(tls.flags() if tls else ()),
        *more,
    ]
    if cache_mb:
        command += [f"--cache-directory={installation.caches}", f"--cache-config=local,size={cache_mb << 20}"]
    return command


def require_runnable(release: Release, installation: Installation) -> None:
    """Refuse a release that was made for another kind of server.

    Raises:
        InputError: A backend that the release's target needs is missing, or the GPU or TensorRT differs.
    """
    needed = {"python", BACKENDS[release.target]}
    if missing := sorted(name for name in needed if not installation.has_backend(name)):
        raise InputError(
            f"release {short(release.id)} is for target {release.target}, which this Triton cannot run",
            got=f"{installation.server} without {', '.join(missing)}",
            expected=f"backends {', '.join(sorted(needed))}",
            fix="run it in Triton's GPU image, or export with export.target=python-cpu",
        )
    if release.target == "tensorrt":
        require_same_gpu(release.record, tensorrt_version(os.environ), compute_capability())


def is_ready(port: int, address: str = LOOPBACK) -> bool:
    """Return whether a Triton answers on its HTTP port and can load models.

    Args:
        port: HTTP.
        address: Address it listens on; 0.0.0.0 reaches this machine.
    """
    url = f"http://{address}:{port}/v2/health/ready"
    try:
        # Without "close" the connection stays open, and Triton waits for it when it is told to end.
        return urllib3.request("GET", url, headers={"Connection": "close"}, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


class TritonServer:
    """A tritonserver that ends when it is stopped, or together with the thread that started it.

    Args:
        repository: Its model repository.
        installation: The tritonserver to run.
        ports: Ports it listens on.
        log: File for its output; None: its output goes where that of this process goes.
        tls: TLS of the gRPC port; None: none.
        cache_mb: Size of its response cache in MB; 0: none.
        traces: Options from `trace_flags`.
    """

    def __init__(
        self,
        repository: Path,
        installation: Installation,
        ports: Ports,
        log: Path | None,
        tls: GrpcTls | None = None,
        cache_mb: int = 0,
        traces: Sequence[str] = (),
    ) -> None:
        self.repository = repository
        self.installation = installation
        self.ports = ports
        self.cache_mb = cache_mb
        self.log = log
        self.control_key = new_control_key()
        self._shared = SharedMemory()
        more = (*traces, *self._shared.flags())
        self._command = server_command(repository, installation, ports, self.control_key, tls, cache_mb, more)
        self._environment = server_environment(installation, os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_s: float = 600.0) -> None:
        """Start the server and return when it is ready.

        Raises:
            InputError: It ends, it is not ready in time, or something else listens on its port.
        """
        if self.ready():
            raise InputError(
                f"something else is listening on port {self.ports.http}",
                fix="stop that process, or choose other ports",
            )
        with self.log.open("wb") if self.log else nullcontext() as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is built here
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
                process_group=0,
            )
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise InputError(
                    "Triton did not start",
                    got=self._last_words(),
                    fix=f"see {self.log or 'its output above'}",
                )
            time.sleep(POLL_S)

    def ready(self) -> bool:
        """Return whether it answers and can load models."""
        return is_ready(self.ports.http, self.ports.http_address)

    def running(self) -> bool:
        """Return whether its process is running."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the server and its Python models at once; requests in progress are lost."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Id of its process, which leads the process group of its Python models."""
        assert self._process is not None  # noqa: S101 - started by the caller
        return self._process.pid

    def stop(self) -> None:
        """Stop the server; requests in progress are answered first."""
        if self._process is None:
            return
        self._process.terminate()  # does nothing if it has ended
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S + 5)
        self.kill()  # if it was killed, the processes of its Python models have not noticed, and keep their memory
        self._process.wait()
        self._shared.remove()

    def _last_words(self) -> str:
        if self.log is None:
            return "it exited" if not self.running() else "it was not ready in time"
        lines = self.log.read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("E") or "error:" in line.lower()]
        return "\n".join((errors or lines)[-LOG_LINES:])


def server_environment(installation: Installation, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for a tritonserver.

    Args:
        installation: Its variables override the others.
        environment: Those of this process; only those that Triton or its libraries read are passed on.
    """
    kept = ("HOME", "LANG", "LC_ALL", "PATH", "LD_LIBRARY_PATH", "TMPDIR", "CUDA_VISIBLE_DEVICES")
    inherited = {name: environment[name] for name in kept if name in environment}
    inherited |= {name: value for name, value in environment.items() if name.startswith("NVIDIA_")}
    return inherited | dict(installation.environment)


def _end_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
