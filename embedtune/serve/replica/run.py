"""Runs a replica: a Triton, the follower of the pointer, and the worker that loads releases."""

import logging
import shutil
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.serve.replica.downloads import Downloads, cache_of
from embedtune.serve.replica.follower import CANARY_S, Follower, Kept
from embedtune.serve.replica.kept_pointer import PointerKeeper
from embedtune.serve.replica.loader import Loader
from embedtune.serve.replica.serving import DOWNLOADS
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.exposure import GrpcTls
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.models import Models
from embedtune.serve.triton.server import Ports, TritonServer
from embedtune.serve.triton.taken_ports import wait_for_ports

log = logging.getLogger(__name__)
REPOSITORY = "models"  # folder of Triton's model repository
BUSY_S = 0.5  # between two readings of the pointer while a switch may come at any moment
WORK_S = 0.2  # between two looks for work
RESTART_S = 1.0
KEPT_S = 86_400.0


@dataclass(frozen=True)
class ReplicaOptions:
    """Options of a replica.

    Args:
        store: The release store whose pointer it follows.
        folder: Folder for downloads, Triton's models and the file that gateways read.
        ports: Ports that Triton listens on.
        target: The only target that may be loaded; None: any that this Triton can run.
        cache_mb: Size of Triton's response cache in MB; 0: none.
        tls: TLS of Triton's gRPC port; None: none.
        traces: Options from `trace_flags`, for Triton's own spans.
        canary_s: Seconds between two comparisons of what is served with its reference vectors; 0: none.
        cache: Folder that outlives `folder`, for downloads and the last pointer, which other replicas may share;
            None: these are only in `folder`.
        kept_s: Seconds after its reading for which a pointer of an earlier start counts while the store cannot be
            read; 0: a replica cannot start then.
        poll_s: Seconds between two readings of the pointer while no switch may come.
        log: File for Triton's output; None: it goes where that of this process goes.
    """

    store: ReleaseStore
    folder: Path
    ports: Ports
    target: str | None = None
    cache_mb: int = 0
    tls: GrpcTls | None = None
    traces: Sequence[str] = ()
    canary_s: float = CANARY_S
    cache: Path | None = None
    kept_s: float = KEPT_S
    poll_s: float = 2.0
    log: Path | None = None

    @property
    def name(self) -> str:
        """Name of the replica: in a cluster the host is the pod."""
        return f"{socket.gethostname()}-{self.ports.http}"


def run_replica(options: ReplicaOptions, installation: Installation, stop: threading.Event) -> None:
    """Serve until `stop` is set; a Triton that has ended or lost a process is started again, with nothing loaded.

    Args:
        options: Its options.
        installation: The tritonserver.
        stop: Ends it, after the requests in progress.

    Raises:
        InputError: Triton does not start, or something else listens on its ports.
    """
    while not stop.is_set():
        repository = options.folder / REPOSITORY
        shutil.rmtree(repository, ignore_errors=True)
        repository.mkdir(parents=True)
        server = TritonServer(
            repository, installation, options.ports, options.log, options.tls, options.cache_mb, options.traces
        )
        with server:
            # One whose follower was killed is told to end, but answers the requests in progress first.
            if not wait_for_ports(options.ports):
                log.warning("another process listens on the ports of Triton")
            server.start()
            _follow(options, server, stop)
        if not stop.is_set():
            log.error("Triton ended unexpectedly; it is started again")
            stop.wait(RESTART_S)


def _follow(options: ReplicaOptions, server: TritonServer, stop: threading.Event) -> None:
    models = Models(server)
    objects = options.store.objects.hurried()
    cache = cache_of(options.cache, objects.place) if options.cache else None
    downloads = Downloads(options.store, options.folder / DOWNLOADS, cache)
    loader = Loader(downloads, server, models, options.target)
    keeper = PointerKeeper(cache or options.folder, objects.place)
    kept = Kept(keeper, options.kept_s) if options.kept_s > 0 else None
    follower = Follower(objects, loader, options.folder, options.name, options.canary_s, kept)
    ended = threading.Event()
    worker = threading.Thread(target=_work, args=(follower, ended), name="loader", daemon=True)
    worker.start()
    try:
        while server.running() and not stop.is_set():
            follower.poll()
            follower.wait(options.poll_s, BUSY_S)
            if not models.whole():
                # Triton 2.51 goes on sending it requests, does not restart it, and cannot unload its model.
                log.error("a process of a model has died")
                server.kill()
    finally:
        ended.set()
        if stop.is_set():
            follower.close()
        server.stop()  # a worker that is loading gives up then
        worker.join(30)


def _work(follower: Follower, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            if follower.step():
                continue
        except Exception:  # a bug; the poller goes on, and what is proven keeps answering
            log.exception("a step of the loader failed")
        ended.wait(WORK_S)
