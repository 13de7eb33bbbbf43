"""What the machine refuses is explained in one line with what to do; a defect stays a defect."""

import errno
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors import SafetensorError

from embedtune.cli import setup
from embedtune.core.errors import InputError
from embedtune.core.machine_errors import as_machine_error


def raised(work) -> BaseException:
    with pytest.raises(BaseException) as caught:
        work()
    return caught.value


def write_to_full_disk():
    with Path("/dev/full").open("wb") as stream:
        stream.write(b"x")
        stream.flush()


def test_a_full_disk_is_named_with_what_to_do():
    found = as_machine_error(raised(write_to_full_disk))
    assert found is not None
    assert "No space left on device" in found.what and "free some space" in str(found.fix)


def test_libraries_without_numbers_of_their_own_are_understood(tmp_path):
    cases = {
        "unable to open database file": lambda: sqlite3.connect(tmp_path / "none" / "a.sqlite"),
        "database or disk is full": lambda: _raise(sqlite3.OperationalError("database or disk is full")),
        "No space left": lambda: _raise(SafetensorError("I/O error: No space left on device (os error 28)")),
    }
    for words, work in cases.items():
        found = as_machine_error(raised(work))
        assert found is not None and words in found.what and found.fix


def _raise(error: BaseException) -> None:
    raise error


def test_the_cause_of_an_error_counts():
    def work() -> None:
        try:
            raise OSError(errno.EROFS, "Read-only file system", "/mnt/a")
        except OSError as error:
            raise ValueError("cannot save") from error

    found = as_machine_error(raised(work))
    assert found is not None and found.what == "Read-only file system: /mnt/a"


def test_memory_is_named():
    assert "memory" in str(as_machine_error(MemoryError()))
    gpu = as_machine_error(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert gpu is not None and "train.micro_batch_size" in str(gpu.fix)


@pytest.mark.parametrize(
    "defect", [KeyError("x"), FileNotFoundError(errno.ENOENT, "no such file"), RuntimeError("no")]
)
def test_a_defect_is_not_explained_away(defect):
    assert as_machine_error(defect) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "work/chunks"),
        PermissionError(errno.EACCES, "Permission denied", "work"),
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "a-file/work"),
        sqlite3.OperationalError("attempt to write a readonly database"),
    ],
)
def test_the_command_line_says_it_in_two_lines(monkeypatch, tmp_path, error):
    monkeypatch.setattr("embedtune.report.page.render_report", lambda work: _raise(error))
    result = CliRunner().invoke(setup.report, [str(tmp_path)])
    assert result.exit_code == 1
    first, second = result.output.strip().splitlines()
    assert first.startswith("error: ") and second.startswith("  do:")
    monkeypatch.setattr("embedtune.report.page.render_report", lambda work: _raise(InputError("x")))
    assert CliRunner().invoke(setup.report, [str(tmp_path)]).exit_code == 2
