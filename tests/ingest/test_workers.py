"""Whatever a task does to its process, the others are done and the reason is reported."""

import os
import signal
from pathlib import Path

import pytest

from embedtune.core.config.ingest import IngestSettings
from embedtune.ingest.sources import Source
from embedtune.ingest.workers import Failed, Workers, process_count
from tests.support.worker_tasks import double, slow_once

SETTINGS = IngestSettings(max_file_seconds=2.0, max_file_memory_gb=1.0)

TASKS = "tests.support.worker_tasks"


def test_crash_time_limit_and_exit_are_reported_and_the_rest_is_done() -> None:
    tasks = [1, 13, 2, 17, 3, 19, 4]
    with Workers[int, int](2, SETTINGS, TASKS) as workers:
        found = dict(workers.run(double, tasks))
    assert {number: value for number, value in found.items() if not isinstance(value, Failed)} == {
        0: 2,
        2: 4,
        4: 6,
        6: 8,
    }
    reasons = {tasks[number]: value.reason for number, value in found.items() if isinstance(value, Failed)}
    assert reasons == {
        13: "the process that read it ended: SIGSEGV",
        17: "not read within 2 s (ingest.max_file_seconds)",
        19: "the process that read it ended: exit code 3",
    }


def test_task_whose_process_was_killed_is_tried_once_more(tmp_path: Path) -> None:
    with Workers[str, str](1, SETTINGS, TASKS) as workers:
        assert list(workers.run(slow_once, [str(tmp_path)])) == [(0, "done")]


def test_what_a_task_raises_is_raised_here() -> None:
    with Workers[int, int](1, SETTINGS, TASKS) as workers, pytest.raises(OSError, match="No space left"):
        list(workers.run(double, [1, 23]))


def test_memory_is_limited() -> None:
    with Workers[int, int](1, SETTINGS, TASKS) as workers, pytest.raises(MemoryError):
        list(workers.run(double, [29]))


def test_no_process_outlives_the_with_statement() -> None:
    with Workers[int, int](2, SETTINGS, TASKS) as workers:
        results = workers.run(double, [1, 17, 17])
        next(results)
        pids = [process._process.pid for process in workers._processes]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_without_processes_tasks_are_done_here_in_order() -> None:
    with Workers[int, int](0, SETTINGS, TASKS) as workers:
        assert list(workers.run(double, [3, 1])) == [(0, 6), (1, 2)]


def test_few_small_files_start_one_process(tmp_path: Path) -> None:
    def files(count: int, size: int) -> list[Source]:
        for number in range(count):
            (tmp_path / str(number)).write_bytes(b"x" * size)
        return [Source(str(number), tmp_path / str(number), "") for number in range(count)]

    assert process_count([], None) == 0
    assert process_count(files(70, 3000), 8) == 1
    assert process_count(files(3, 5 << 20), 8) == 3
    assert process_count(files(12, 1 << 20), 8) == 8
    assert process_count(files(12, 1 << 20), 0) == 0
