"""A service of real processes, whose parts are killed while releases are switched."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.secrets import secrets_from
from embedtune.serve.pod import store_environment
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.server import free_ports
from tests.support.context import provenance
from tests.support.judged_load import Judge
from tests.support.minio_server import MinioServer
from tests.support.object_store import Bucket
from tests.support.tiny_engine import make_tiny_engine

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
given["deploy"] = {"target": "kubernetes", "timeout_s": float(sys.argv[4])}
given["storage"] = storage_from(os.environ).model_dump()
secrets = secrets_from(os.environ, llm_key_name="", judge_key_name="")
site = open_site(parse_config(given), secrets, Path(sys.argv[3]))
print("begins", flush=True)
try:
    go_live(site, sys.argv[2], SilentProgress())
except EmbedtuneError as error:
    sys.exit(str(error))
"""


def two_and_a_liar(folder: Path) -> list[Release]:
    """Make two good releases of different models, and one with the reference of the first."""
    engines = [make_tiny_engine(folder / f"engine-{seed}", seed=seed) for seed in range(3)]
    with write_artifact(folder / "lying", "engine", provenance()) as draft:
        shutil.copytree(engines[2], draft.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        shutil.copyfile(engines[0] / REFERENCE_FILE, draft.path / REFERENCE_FILE)
    return [build_release(engine, folder, ServeSettings()) for engine in (*engines[:2], folder / "lying")]


def start_deployment(
    uri: str, name: str, folder: Path, environment: Mapping[str, str], timeout_s: int = 60
) -> subprocess.Popen[bytes]:
    """Start a process that deploys a release, and return when it begins.

    Args:
        uri: The store.
        name: The release.
        folder: Its log, and a folder of its own.
        environment: Tells it how to reach the store.
        timeout_s: Seconds without progress after which it gives up.
    """
    command = [sys.executable, "-c", DEPLOY, uri, name, str(folder / "site"), str(timeout_s)]
    with (folder / "deploy.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@dataclass
class Service:
    """A replica, a gateway and the store that they follow, each a process of its own.

    Args:
        folder: Logs, the folder of the replica, and a store that is a directory.
        releases: All releases in the store; the third one's reference is that of the first.
        minio: The server that keeps the store; None: the store is a directory.
    """

    folder: Path
    releases: list[Release]
    minio: MinioServer | None = None
    ports: list[int] = field(default_factory=lambda: free_ports(4))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.uri, storage = str(self.folder / "store"), StorageSettings()
        if self.minio:
            self.uri, storage = f"s3://{Bucket(self.minio.endpoint).name}/releases", self.minio.storage
        self.environment = {**os.environ, **store_environment(self.uri, storage, None)}
        secrets = secrets_from(os.environ, llm_key_name="", judge_key_name="")
        self.store = ReleaseStore(self.uri, storage, secrets, 3.0)
        for release in self.releases:
            self.store.publish(release, release.id)
        self.judge = Judge(self.store, f"http://127.0.0.1:{self.ports[3]}", self.releases[:2])

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
        self.processes["deploy"] = process = start_deployment(self.uri, name, self.folder, self.environment)
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


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, in any of its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]


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
