"""Triton on this machine: one a port, started in the background, switched by starting it on another release."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from embedtune.core.errors import GateError, InputError
from embedtune.serve.triton.server import is_ready

STATE = Path.home() / ".cache" / "embedtune" / "local"  # beside the server's environment; ports are the machine's
STOP_S = 30.0
POLL_S = 0.2


@dataclass(frozen=True)
class LocalTriton:
    """The Triton that listens on one port of this machine.

    Args:
        port: HTTP; gRPC and metrics listen on the next two.
        path_of: Returns the directory of a release by its id.
        timeout_s: Seconds that a start may take.
        state: Folder that remembers what runs.
    """

    port: int
    path_of: Callable[[str], Path]
    timeout_s: float
    state: Path = STATE

    def current(self) -> str | None:
        """Return the release that runs, or None."""
        return self._record()["release"] if self._running() else None

    def switch(self, release: str) -> None:
        """Stop what runs and start another release.

        Raises:
            GateError: It does not become ready.
            InputError: Something else listens on the port.
        """
        path = self.path_of(release).resolve()  # it is remembered, for whoever looks from another directory
        self.stop()
        self.state.mkdir(parents=True, exist_ok=True)
        with self._file("lock").open("w") as lock, ExitStack() as stack:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    "another deploy starts a Triton on this machine", fix="wait for it and run the command again"
                ) from None
            log = stack.enter_context(self._file("log").open("wb"))  # not before: it may be another one's
            if is_ready(self.port):
                raise InputError(f"something else listens on port {self.port}", fix="stop it, or set deploy.port")
            process = subprocess.Popen(  # noqa: S603 - this program
                _command(path, self.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),  # the lock is held as long as the server lives, whoever started it
            )
            record = {"release": release, "pid": process.pid, "path": str(path)}
            self._file("json").write_text(json.dumps(record))
            self._wait(process, release)

    def withdraw(self) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Stop what runs; nothing if nothing does.

        Raises:
            GateError: It does not end.
        """
        if not self._running():
            return
        group = int(self._record()["pid"])
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._running():
            if time.monotonic() > deadline:
                raise GateError(
                    "the local Triton does not end", got=f"process group {group}", fix=f"kill -9 -{group}"
                )
            time.sleep(POLL_S)

    def _wait(self, process: subprocess.Popen[bytes], release: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while not is_ready(self.port):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                tail = self._file("log").read_text(errors="replace").strip().splitlines()[-5:]
                raise GateError(
                    f"Triton does not start with release {release}",
                    got="\n".join(tail) or ("it ended" if ended else f"not ready after {self.timeout_s:.0f} s"),
                    fix=f"{self._file('log')} has the whole log",
                )
            time.sleep(POLL_S)

    def _running(self) -> bool:
        if not self._file("lock").is_file() or not self._file("json").is_file():
            return False
        with self._file("lock").open("r+") as lock:
            return not _try(lock)

    def _record(self) -> dict[str, str]:
        return dict(json.loads(self._file("json").read_text()))

    def _file(self, suffix: str) -> Path:
        return self.state / f"triton-{self.port}.{suffix}"


def _try(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command(path: Path, port: int) -> list[str]:
    ports = {"--http-port": port, "--grpc-port": port + 1, "--metrics-port": port + 2}
    options = [text for name, value in ports.items() for text in (name, str(value))]
    return [sys.executable, "-m", "embedtune", "serve", str(path), *options]
