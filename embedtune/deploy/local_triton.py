"""Triton on this machine: one per port, started in the background; a switch restarts it with another release."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.serve.release.record import Release
from embedtune.serve.triton.server import is_ready

# Next to the server's virtual environment: ports belong to the machine.
STATE = Path.home() / ".cache" / "embedtune" / "local"
STOP_S = 30.0
POLL_S = 0.2


class LocalState(JsonRecord):
    """The release that the Triton on one port serves; valid as long as its process holds the lock file.

    Attributes:
        release: Id of the release.
        pid: The process, which leads its process group.
        path: Directory of the release.
    """

    NAME: ClassVar[str] = "local_triton"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    release: str
    pid: int
    path: str


@dataclass(frozen=True)
class LocalTriton:
    """The Triton that listens on one port of this machine.

    Args:
        port: HTTP; gRPC and metrics use the next two.
        path_of: Returns the directory of an earlier release, given its id.
        timeout_s: Seconds that startup may take.
        state: Folder for the lock file, the log and the state file of each port.
    """

    port: int
    path_of: Callable[[str], Path]
    timeout_s: float
    state: Path = STATE

    def current(self) -> str | None:
        """Return the id of the release that is running, or None.

        Raises:
            ArtifactError: One is running, but its state file is unreadable.
        """
        return self._read_state().release if self._running() else None

    def switch(self, release: Release) -> None:
        """Stop what is running and start another release.

        Raises:
            GateError: It does not become ready.
            InputError: Something else is listening on the port.
            ArtifactError: What is running has an unreadable state file.
        """
        self._start(release.id, release.path)

    def restore(self, name: str) -> None:
        """Start an earlier release again; raises what `switch` raises."""
        self._start(name, self.path_of(name))

    def withdraw(self) -> None:
        """Stop it."""
        self.stop()

    def _start(self, name: str, path: Path) -> None:
        path = path.resolve()  # the state file is also read from other working directories
        self.stop()
        self.state.mkdir(parents=True, exist_ok=True)
        with self._file("lock").open("w") as lock, ExitStack() as stack:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    "another process is starting a Triton on this machine",
                    fix="wait for it to finish, then run the command again",
                ) from None
            log = stack.enter_context(self._file("log").open("wb"))  # not before: it may belong to another process
            if is_ready(self.port):
                raise InputError(
                    f"something else is listening on port {self.port}", fix="stop that process, or set deploy.port"
                )
            self._file("json").unlink(missing_ok=True)  # it describes a process that has exited
            process = subprocess.Popen(  # noqa: S603 - it runs embedtune itself
                _command(path, self.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),  # the server holds the lock as long as it runs
            )
            write_record(self._file("json"), LocalState(release=name, pid=process.pid, path=str(path)))
            self._wait(process, name)

    def stop(self) -> None:
        """Stop what is running, if anything is.

        Raises:
            GateError: It does not exit.
            ArtifactError: Its state file is unreadable.
        """
        if not self._running():
            return
        group = self._read_state().pid
        with suppress(ProcessLookupError):  # it has ended in the meantime
            os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._running():
            if time.monotonic() > deadline:
                raise GateError(
                    "the local Triton did not exit", got=f"process group {group}", fix=f"kill -9 -{group}"
                )
            time.sleep(POLL_S)

    def _wait(self, process: subprocess.Popen[bytes], name: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while not is_ready(self.port):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                tail = self._file("log").read_text(errors="replace").strip().splitlines()[-5:]
                raise GateError(
                    f"Triton did not start with release {name}",
                    got="\n".join(tail) or ("it exited" if ended else f"not ready after {self.timeout_s:.0f} s"),
                    fix=f"the complete log is in {self._file('log')}",
                )
            time.sleep(POLL_S)

    def _running(self) -> bool:
        if not self._file("lock").is_file():
            return False
        with self._file("lock").open("r+") as lock:
            return not _try(lock)

    def _read_state(self) -> LocalState:
        try:
            return read_record(self._file("json"), LocalState)
        except ArtifactError as error:
            raise ArtifactError(
                f"Triton is running on this machine, but it is not known which release it serves: {error.what}",
                got=error.got,
                expected=error.expected,
                fix=f"stop it (fuser -k {self._file('lock')}), then run `{LocalState.REMAKE}` again",
            ) from error

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
