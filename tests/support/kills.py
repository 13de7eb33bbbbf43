"""A service of real processes under load, whose parts are killed while releases are switched."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import StoreAwayError
from embedtune.core.secrets import secrets_from
from embedtune.serve.pod import store_environment
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.server import free_ports
from tests.support.minio_server import MinioServer
from tests.support.object_store import Bucket

SAME = 0.9999
CLOCKS_S = 0.1  # a request and the switch are timed by different processes
DEPLOY = """
import os
import sys
from pathlib import Path
from embedtune.core.config.load import parse_config
from embedtune.core.errors import EmbedtuneError
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import secrets_from
from embedtune.core.storage_client import storage_from
from embedtune.deploy.rollout import go_live
from embedtune.deploy.site import open_site
given = {"contract": {"base_model": "tiny", "dimensions": [32, 16]}, "release": {"uri": sys.argv[1]}}
given |= {"deploy": {"target": "kubernetes", "timeout_s": 60}, "storage": storage_from(os.environ).model_dump()}
secrets = secrets_from(os.environ, llm_key_name="", judge_key_name="")
site = open_site(parse_config(given), secrets, Path(sys.argv[3]))
print("begins", flush=True)
try:
    go_live(site, sys.argv[2], SilentProgress())
except EmbedtuneError as error:
    sys.exit(str(error))
"""


@dataclass
class Answer:
    """An answer: when it was asked for and arrived, the release that it names, and the releases that it fits."""

    asked: float
    arrived: float
    named: str
    fits: set[str]


@dataclass
class Service:
    """A replica, a gateway and the store that they follow, each a process of its own.

    Args:
        folder: Logs, the folder of the replica, and a store that is a directory.
        releases: All releases in the store.
        minio: The server that keeps the store; None: the store is a directory.
    """

    folder: Path
    releases: list[Release]
    minio: MinioServer | None = None
    ports: list[int] = field(default_factory=lambda: free_ports(4))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    switches: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uri, storage = str(self.folder / "store"), StorageSettings()
        if self.minio:
            self.uri, storage = f"s3://{Bucket(self.minio.endpoint).name}/releases", self.minio.storage
        self.environment = {**os.environ, **store_environment(self.uri, storage, None)}
        secrets = secrets_from(os.environ, llm_key_name="", judge_key_name="")
        self.store = ReleaseStore(self.uri, storage, secrets, 3.0)
        for release in self.releases:
            self.store.publish(release, release.id)
        rows = {release.id: pq.read_table(release.path / REFERENCE_FILE).to_pylist() for release in self.releases}
        self.texts = [(row["text"], row["kind"]) for row in next(iter(rows.values()))]
        self.vectors = {name: np.asarray([row["vector"] for row in table]) for name, table in rows.items()}

    def start(self, name: str) -> None:
        """Start the replica or the gateway, as the kubelet would start their containers again."""
        http, grpc, metrics, gateway = self.ports
        commands = {
            "replica": [
                *("embedtune.serve.pod", str(self.folder / "replica")),
                *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
            ],
            "gateway": [
                *("embedtune.serve.gateway", f"--port={gateway}", f"--triton=127.0.0.1:{grpc}", "--drain=0"),
                f"--serving={self.folder / 'replica'}",
            ],
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *commands[name]],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def deploy(self, name: str) -> subprocess.Popen[bytes]:
        """Start a deployment of a release, and return when it begins."""
        command = [sys.executable, "-c", DEPLOY, self.uri, name, str(self.folder / "site")]
        with (self.folder / "deploy.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        process.stdout.readline()
        self.processes["deploy"] = process
        return process

    def kill(self, victim: str, away_s: float = 0.0) -> None:
        """Kill deploy, gateway, replica, its Triton, the stub of one of its Python models, or the store."""
        if victim == "store":
            assert self.minio is not None
            self.minio.kill()
            time.sleep(away_s)
            self.minio.start()
            return
        if victim in ("triton", "stub"):
            found = children(self.processes["replica"].pid)
            if victim == "stub":
                found = [stub for triton in found for stub in children(triton)][:1]
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return
        self.processes[victim].kill()
        self.processes[victim].wait()
        if victim != "deploy":
            self.start(victim)

    def pointer(self) -> Pointer:
        """Return the pointer, as soon as the store answers."""
        while True:
            with suppress(StoreAwayError):
                return self.store.pointer()

    def ask(self, http: httpx.Client, rng: random.Random) -> Answer | None:
        """Send a request of a few texts, or of more than Triton takes at once; None: it was refused for now."""
        count = rng.choice([1, 3, 40])
        kind = rng.choice(["query", "passage"])
        rows = rng.sample([row for row, (_, of) in enumerate(self.texts) if of == kind], count)
        body = {"model": f"embedtune-{kind}", "input": [self.texts[row][0] for row in rows]}
        asked = time.time()
        reply = http.post("/v1/embeddings", json=body)
        if reply.status_code != 200:
            assert reply.status_code in (429, 503, 504), reply.text
            return None
        got = np.asarray([item["embedding"] for item in reply.json()["data"]])
        fits = {
            name for name, known in self.vectors.items() if np.einsum("ij,ij->i", got, known[rows]).min() > SAME
        }
        return Answer(asked, time.time(), reply.headers["x-embedtune-release"], fits)

    def wait_for(self, live: str | None, after: str, seconds: float = 120) -> None:
        """Wait until the live release answers."""
        asked, deadline = len(self.answers), time.monotonic() + seconds
        while not any(answer.named == live for answer in self.answers[asked:]):
            assert time.monotonic() < deadline, f"after {after}, {live} does not answer"
            time.sleep(0.1)

    def live_at(self, moment: float) -> str | None:
        """Return the release that was to answer at a moment."""
        past = [name for at, name in self.switches if at <= moment]
        return past[-1] if past else None

    def wrong(self) -> list[Answer]:
        """Return the answers that do not come from the release they name, or not from the one to answer then."""
        found = []
        for answer in self.answers:
            due = {self.live_at(answer.asked - CLOCKS_S), self.live_at(answer.arrived + CLOCKS_S)}
            if answer.named not in answer.fits or answer.named not in due:
                found.append(answer)
        return found


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, in any of its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]


@contextmanager
def loaded(service: Service, clients: int) -> Iterator[None]:
    """Ask in threads, and note the switches, as long as the block lasts."""
    ended = threading.Event()
    with ThreadPoolExecutor(clients + 1) as pool:
        works = [pool.submit(_ask, service, seed, ended) for seed in range(clients)]
        works.append(pool.submit(_watch, service, ended))
        try:
            yield
        finally:
            ended.set()
    for work in works:
        work.result()


def _ask(service: Service, seed: int, ended: threading.Event) -> None:
    rng = random.Random(seed)
    with httpx.Client(base_url=f"http://127.0.0.1:{service.ports[3]}", timeout=30, trust_env=False) as http:
        while not ended.wait(0.05):
            with suppress(httpx.HTTPError):  # the gateway was killed
                if answer := service.ask(http, rng):
                    service.answers.append(answer)


def _watch(service: Service, ended: threading.Event) -> None:
    seen = None
    while not ended.wait(0.01):
        now = service.pointer()
        if now.live and now.since != seen:
            seen = now.since
            # The first one is immediate.
            service.switches.append((now.switch_at or time.time() - 1, now.live))


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Run the replica and the gateway as long as the block lasts."""
    for name in ("replica", "gateway"):
        service.start(name)
    try:
        yield service
    finally:
        for process in service.processes.values():
            process.terminate()
        for process in service.processes.values():
            process.wait(60)
