"""Directories that are written as a whole: in a draft next to them, which then takes their place."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.errors import InputError


def require_replaceable(path: Path, about: str, kind: str) -> None:
    """Refuse to replace anything but an older directory of the same kind.

    An input, a work directory or a folder of documents that was named as output by mistake is thus not lost.

    Args:
        path: The directory that is to be written.
        about: Name of the JSON file that says in `schema_name` what a directory is.
        kind: The schema name of what is to be written.

    Raises:
        InputError: Something else is at `path`.
    """
    found: object = None
    try:
        if not any(path.iterdir()):
            return
        written = json.loads((path / about).read_bytes())
        found = written.get("schema_name") if isinstance(written, dict) else None
    except FileNotFoundError:
        if not path.exists():
            return
    except NotADirectoryError:
        pass
    except (ValueError, RecursionError):
        return  # damaged: the command that made it must be able to make it again
    if found != kind:
        raise InputError(
            f"{path} already contains something else",
            got=f"a {found} directory" if found else f"something without a valid {about}",
            expected=f"a new or empty directory, or an older {kind} directory",
            fix="name another directory",
        )


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of `path` at the end, or is left aside after an error.

    Raises:
        InputError: Another process is writing `path`.
    """
    path = path.resolve()  # a link stays, and what it points to is replaced
    draft = path.with_name(f".{path.name}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    handle = os.open(draft, os.O_RDONLY)
    try:
        if not _lock(handle) or not _is_at(handle, draft):  # if not there, its writer has just finished
            raise InputError(
                f"another process is writing {path}", fix="wait for it, or name another output directory"
            )
        for item in draft.iterdir():
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        yield draft
        _move(draft, path)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open directory until it is closed; return whether that was possible."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network file systems have no locks
    return True


def _is_at(handle: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(handle), path.stat())


def _move(draft: Path, path: Path) -> None:
    """Move `draft` to `path`, so that a partial directory is never there."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)
