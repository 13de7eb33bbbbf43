"""The work directory: whether it can be made and written to."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.local.preflight.finding import Finding, IntendedRun


def check_work(run: IntendedRun) -> Iterator[Finding]:
    """Write a file where the run will write, since rights alone do not show a read-only or a full disk.

    Raises:
        InputError: The work directory is a file, or nothing can be written there.
    """
    if run.work is None:
        return
    if run.work.exists() and not run.work.is_dir():
        raise InputError("the work directory is not a directory", got=run.work)
    folder = nearest_folder(run.work)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".embedtune-") as probe:
            probe.write(b"0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
        yield Finding("fine", "work directory", f"{run.work} can be written to")
    except OSError as error:
        raise InputError(
            "the work directory cannot be written to",
            got=f"{folder}: {error.strerror}",
            expected="a directory on a disk with free space, in which this user may write",
            fix="name another one with --work, or give this user the right to write there",
        ) from error


def nearest_folder(path: Path) -> Path:
    """Return the directory itself, or the nearest one above it that exists."""
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder
