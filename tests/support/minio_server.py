"""A MinIO server of a test's own, which may be killed: EMBEDTUNE_TEST_MINIO names the program that starts one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.serve.triton.server import free_ports

SERVE = os.environ.get("EMBEDTUNE_TEST_MINIO")
needs_program = pytest.mark.skipif(
    SERVE is None, reason="EMBEDTUNE_TEST_MINIO names no program that starts a MinIO server"
)


class MinioServer:
    """A server that runs while the block lasts; what it has stored outlives its kills.

    Args:
        home: Its data, log and pid file.
        host: The address that it listens on.
    """

    def __init__(self, home: Path, host: str = "127.0.0.1") -> None:
        (port,) = free_ports(1)
        self.home = home
        self.endpoint = f"{host}:{port}"
        self.storage = StorageSettings(endpoint=self.endpoint, secure=False)

    def __enter__(self) -> "MinioServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run("--stop")

    def start(self) -> None:
        """Start it, again if it was killed, and return when it is ready."""
        self._run()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        (pid,) = self.home.glob("*.pid")
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def _run(self, *options: str) -> None:
        server = {**os.environ, "MINIO_ADDRESS": self.endpoint, "MINIO_HOME": str(self.home)}
        subprocess.run([str(SERVE), *options], env=server, check=True)
