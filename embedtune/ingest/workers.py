"""Runs tasks in several processes; a task that kills its process, or takes too long, is reported, the rest go on.

Why not a library: docs/adr/0014-reading-in-processes.md.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Generic, TypeVar

import joblib

from embedtune.core.config.ingest import IngestSettings
from embedtune.ingest.sources import Source

T = TypeVar("T")
R = TypeVar("R")
WORTH_A_PROCESS = 1 << 20  # bytes of documents; a process takes a second to start
PRELOAD = "embedtune.ingest.parse"
TRIES = 2  # a process may have been ended for want of memory that another one took
ENDING_S = 5.0
# Each process uses one core.
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Failed:
    """The process of a task ended before the task did."""

    reason: str
    again: bool = True  # whether another try may succeed


class _Ended:
    """The answer of a process that ended."""


class _Process(Generic[T, R]):
    """One worker; `task` is the index of what it works on, None while it starts or waits."""

    def __init__(self, settings: IngestSettings, preload: str) -> None:
        self.connection, theirs = Pipe()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        limits = (settings.max_file_seconds, settings.max_file_memory_gb)
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(  # noqa: S603  # this Python
            [sys.executable, "-m", "embedtune.ingest.worker", str(theirs.fileno()), *map(str, limits), preload],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env={**os.environ, **ONE_CORE, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the workers
        )
        theirs.close()
        self.ready = False
        self.task: int | None = None

    def is_free(self) -> bool:
        """Tell whether it waits for a task."""
        return self.ready and self.task is None

    def begin(self, number: int, task: T) -> None:
        """Send it a task."""
        self.task = number
        self.connection.send(task)

    def answer(self) -> R | Exception | _Ended:
        """Return what the process sent: the result of its task, or that it is ready for one."""
        try:
            found: R | Exception = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return _Ended()
        self.ready, self.task = True, None
        return found

    def code(self) -> int:
        """Wait for the process, whose connection is closed, and return its exit code."""
        return self._process.wait(ENDING_S)

    def errors(self) -> str:
        """Return the last of what the process wrote about its errors."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        self.connection.close()
        self._errors.close()


class Workers(Generic[T, R]):
    """Processes that start at once, to be ready when the first task is; leaving the `with` statement ends them.

    Args:
        count: Number of processes. 0: tasks are done in this process, without limits.
        settings: Limits in time and memory of one task.
        preload: A module that each process imports at its start.
    """

    def __init__(self, count: int, settings: IngestSettings, preload: str = PRELOAD) -> None:
        self._settings, self._preload = settings, preload
        self._processes: list[_Process[T, R]] = [_Process(settings, preload) for _ in range(count)]

    def __enter__(self) -> "Workers[T, R]":
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.end()

    def run(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Failed]]:
        """Yield the index of each task and its result, in the order in which they finish.

        Args:
            work: What to do with a task; it can be pickled, and so can what it takes and returns.
            tasks: The tasks; they are begun in this order.
        """
        if not self._processes:
            yield from ((number, work(task)) for number, task in enumerate(tasks))
            return
        function = pickle.dumps(work)
        for process in self._processes:
            process.connection.send_bytes(function)
        waiting, tries = deque(range(len(tasks))), Counter[int]()
        while waiting or any(process.task is not None for process in self._processes):
            for process in [process for process in self._processes if process.is_free()][: len(waiting)]:
                tries[waiting[0]] += 1
                process.begin(waiting[0], tasks[waiting.popleft()])
            for number in self._answering():
                task, answer = self._processes[number].task, self._processes[number].answer()
                if isinstance(answer, Exception):
                    raise answer
                result = self._replace(number, function) if isinstance(answer, _Ended) else answer
                if isinstance(result, Failed) and result.again and task is not None and tries[task] < TRIES:
                    waiting.append(task)
                elif task is not None:
                    yield task, result

    def _answering(self) -> list[int]:
        """Wait until processes have answered or ended, and return their numbers."""
        found = wait([process.connection for process in self._processes])
        return [number for number, process in enumerate(self._processes) if process.connection in found]

    def _replace(self, number: int, function: bytes) -> Failed:
        """Start a new process in the place of one that ended, and return why it did.

        Raises:
            RuntimeError: It ended before its first task: so would the new one.
        """
        process = self._processes[number]
        code = process.code()
        if not process.ready:
            raise RuntimeError(f"a process that reads documents did not start ({code}): {process.errors()}")
        process.end()
        self._processes[number] = _Process(self._settings, self._preload)
        self._processes[number].connection.send_bytes(function)
        if code == -signal.SIGALRM:
            limit = self._settings.max_file_seconds
            return Failed(f"not read within {limit:g} s (ingest.max_file_seconds)", again=False)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Failed(f"the process that read it ended: {how}")


def process_count(unread: Sequence[Source], limit: int | None) -> int:
    """Return how many processes to start.

    Args:
        unread: The files to read.
        limit: `runtime.processes`.
    """
    if not unread:
        return 0
    size = sum(source.path.stat().st_size for source in unread if source.path.is_file())
    useful = min(len(unread), 1 + size // WORTH_A_PROCESS)
    return min(useful, joblib.cpu_count() if limit is None else limit)
