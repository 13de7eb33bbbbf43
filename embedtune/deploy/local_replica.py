"""The replica on this machine: one Triton per port, which stays in the background and follows one store."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from embedtune.core.errors import ArtifactError, ConfigError, GateError, InputError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.serve.triton.installation import CACHE, local_folder
from embedtune.serve.triton.server import is_ready

STOP_S = 45.0
POLL_S = 0.2


class LocalState(JsonRecord):
    """The replica on one port; valid as long as its process holds the lock file.

    Attributes:
        pid: The process, which leads its process group.
        store: The release store that it follows.
    """

    NAME: ClassVar[str] = "local_replica"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    pid: int
    store: str


@dataclass(frozen=True)
class LocalReplica:
    """The replica whose Triton listens on one port of this machine.

    Args:
        port: HTTP; gRPC and metrics use the next two.
        timeout_s: Seconds that startup may take.
        state: Folder for its files; the folder of the replica itself is in it.
    """

    port: int
    timeout_s: float
    state: Path = CACHE / "local"

    def follows(self) -> str | None:
        """Return the store that the running replica follows, or None if none is running.

        Raises:
            ArtifactError: One is running, but its state file is unreadable.
        """
        return self._read_state().store if self._running() else None

    def ensure(self, store: str, environment: Mapping[str, str], options: tuple[str, ...] = ()) -> None:
        """Start a replica that follows a store, unless one is running.

        Args:
            store: Address of the store.
            environment: The variables by which the replica finds the store.
            options: More options of `python -m embedtune.serve.pod`.

        Raises:
            ConfigError: One is running that follows another store.
            GateError: It does not start.
            InputError: Something else is listening on the port.
            ArtifactError: What is running has an unreadable state file.
        """
        followed = self.follows()
        if followed == store:
            return
        if followed is not None:
            raise ConfigError(
                f"the Triton on port {self.port} serves the releases of another store",
                got=followed,
                expected=store,
                fix="stop it with `embedtune release stop`, or set deploy.port",
            )
        self.state.mkdir(parents=True, exist_ok=True)
        with self._file("lock").open("w") as lock:
            if not _try(lock):
                raise InputError(
                    "another process is starting a Triton on this machine",
                    fix="wait for it to finish, then run the command again",
                )
            if is_ready(self.port):
                raise InputError(
                    f"something else is listening on port {self.port}", fix="stop that process, or set deploy.port"
                )
            self._start(lock, store, environment, options)

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

    def _start(self, lock: IO[str], store: str, environment: Mapping[str, str], options: tuple[str, ...]) -> None:
        self._file("json").unlink(missing_ok=True)  # it describes a process that has exited
        with self._file("log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - it runs embedtune itself
                [*self._command(), *options],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),  # it holds the lock as long as it runs
            )
        write_record(self._file("json"), LocalState(pid=process.pid, store=store))
        deadline = time.monotonic() + self.timeout_s
        while not is_ready(self.port):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                if not ended:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                tail = self._file("log").read_text(errors="replace").strip().splitlines()[-5:]
                raise GateError(
                    "Triton did not start",
                    got="\n".join(tail) or ("it exited" if ended else f"not ready after {self.timeout_s:.0f} s"),
                    fix=f"the complete log is in {self._file('log')}",
                )
            time.sleep(POLL_S)

    def _command(self) -> list[str]:
        ports = {"--http-port": self.port, "--grpc-port": self.port + 1, "--metrics-port": self.port + 2}
        options = [text for name, value in ports.items() for text in (name, str(value))]
        folder = self.state / local_folder(self.port).name
        return [sys.executable, "-m", "embedtune.serve.pod", str(folder), *options]

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
                f"Triton is running on this machine, but it is not known which store it follows: {error.what}",
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
