"""The work directory: whether it can be made, and whether all in it that a run writes again can be written."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.local.preflight.finding import Finding, IntendedRun

RIGHTS = "give this user the right to write there, or name another directory with --work, or --output of a stage"


def check_work(run: IntendedRun) -> Iterator[Finding]:
    """Write a file where the run will write, since rights alone do not show a read-only or a full disk.

    Raises:
        InputError: The work directory is a file, or nothing can be written there or in its cache.
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
    except OSError as error:
        raise InputError(
            "the work directory cannot be written to",
            got=f"{folder}: {error.strerror}",
            expected="a directory on a disk with free space, in which this user may write",
            fix=RIGHTS,
        ) from error
    yield from _check_contents(run.work)
    yield Finding("fine", "work directory", f"{run.work} can be written to")


def _check_contents(work: Path) -> Iterator[Finding]:
    """Look for what another user has written: the cache, or an artifact that a stage would replace."""
    cache = work / "cache"
    written = [cache, *cache.glob("*"), *cache.glob("embeddings/*"), work / "report.html", work / "last-run.json"]
    foreign = [path for path in written if path.exists() and not _may(path, os.W_OK)]
    folders = [path for path in sorted(work.glob("*")) if path.is_dir() and path != cache]
    foreign += [path for path in folders if not _may(path, os.R_OK | os.X_OK)]
    if foreign:
        raise InputError(
            "a part of the work directory belongs to another user",
            got=", ".join(map(str, foreign[:3])) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""),
            expected="files that this user may read and write",
            fix=RIGHTS,
        )
    if kept := [path.name for path in folders if not _may(path, os.W_OK)]:
        found = f"this user may not write to {', '.join(kept)} in {work}"
        yield Finding("note", "work directory", found, "if a stage has to write there again, it will fail")


def _may(path: Path, mode: int) -> bool:
    return os.access(
        path, mode | (os.X_OK if path.is_dir() else 0), effective_ids=os.access in os.supports_effective_ids
    )


def nearest_folder(path: Path) -> Path:
    """Return the directory itself, or the nearest one above it that exists."""
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder
