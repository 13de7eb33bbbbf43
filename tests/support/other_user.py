"""A user with fewer rights than the one who runs the tests, who is often root and may do anything."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="embedtune-shared-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run a block without root's rights. What it imports has to be imported before."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def close(path: Path, mode: int = 0o555) -> Path:
    """Take the right to write from everybody but root."""
    path.chmod(mode)
    return path
