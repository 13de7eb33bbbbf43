"""What embedtune keeps outside the work directory on this machine, and how it is removed."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedtune.serve.triton.installation import CACHE
from embedtune.serve.triton.server import is_ready

_INSTALLATION = re.compile(r"(triton-[0-9a-f]{12})(\.lock)?")
_REPLICA = re.compile(r"(triton-\d{1,5})(\.json|\.lock|\.log)?")
_TURN = re.compile(r"embedtune-turn-(\d+)-\d+")  # serve/release/triton_runners.py
IN_USE = "in use: embedtune release stop"
NOT_OURS = "not made by embedtune"


@dataclass(frozen=True)
class Kept:
    """Something that is kept.

    Args:
        what: What it is.
        paths: Its files and directories.
        size: Bytes of all files in them; links are not followed.
        left: Why it is not removed, or "".
    """

    what: str
    paths: tuple[Path, ...]
    size: int
    left: str = ""


def kept_outside(cache: Path = CACHE, temporary: Path | None = None, hub: Path | None = None) -> list[Kept]:
    """List what is kept.

    Args:
        cache: Folder of Triton's installations and of what it serves on this machine.
        temporary: Folder for temporary files; None: the machine's.
        hub: The cache of huggingface_hub, with the base models; None: the one in use.
    """
    if hub is None:
        from huggingface_hub.constants import HF_HUB_CACHE

        hub = Path(HF_HUB_CACHE)
    found = [*_in_cache(cache), *_turns(temporary or Path(tempfile.gettempdir()))]
    if hub.is_dir() and (size := _size(hub)):
        shared = "other programs use it too: remove a base model with `hf cache`"
        found.append(Kept("models downloaded from the hub", (hub,), size, shared))
    return found


def remove(things: Iterable[Kept]) -> None:
    """Remove what may be removed; a link is removed itself, never what it points to.

    Raises:
        OSError: The machine refuses it.
    """
    for thing in things:
        for path in () if thing.left else thing.paths:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _in_cache(cache: Path) -> Iterator[Kept]:
    if cache.is_symlink() or not cache.is_dir():
        return  # a link leads elsewhere: nothing there is looked at
    local = cache / "local"
    replicas: dict[str, list[Path]] = {}
    if local.is_dir() and not local.is_symlink():
        replicas, others = _grouped(local, _REPLICA)
        yield from others
    running = {name for name in replicas if _is_running(name, local)}
    for name, paths in replicas.items():
        what = f"Triton on port {name.removeprefix('triton-')}: releases, state, log"
        yield _kept(what, paths, IN_USE if name in running else "")
    installed, others = _grouped(cache, _INSTALLATION)
    for name, paths in installed.items():
        busy = running or _is_locked(cache / f"{name}.lock")
        yield _kept("a Triton that embedtune installed", paths, IN_USE if busy else "")
    yield from (one for one in others if one.paths != (local,))


def _grouped(folder: Path, pattern: re.Pattern[str]) -> tuple[dict[str, list[Path]], list[Kept]]:
    """Return the paths that belong together by name, and what has another name or is a link."""
    ours: dict[str, list[Path]] = {}
    others: list[Kept] = []
    for path in sorted(folder.iterdir()):
        named = pattern.fullmatch(path.name)
        if named is None or path.is_symlink():
            others.append(_kept(path.name, [path], NOT_OURS))
        else:
            ours.setdefault(named[1], []).append(path)
    return ours, others


def _turns(folder: Path) -> Iterator[Kept]:
    """Yield the lock files that servers left behind that have ended."""
    paths = [
        path
        for path in sorted(folder.glob("embedtune-turn-*"))
        if (named := _TURN.fullmatch(path.name))
        and path.is_file()
        and not path.is_symlink()
        and path.stat().st_uid == os.getuid()
        and not _is_alive(int(named[1]))
    ]
    if paths:
        yield _kept("lock files of servers that have ended", paths, "")


def _kept(what: str, paths: Iterable[Path], left: str) -> Kept:
    paths = tuple(paths)
    return Kept(what, paths, sum(_size(path) for path in paths), left)


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        (Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names
    )  # os.walk follows no links


def _is_running(name: str, local: Path) -> bool:
    """Return whether a Triton runs: one of `deploy` holds a lock, one of `serve` answers on its port."""
    return _is_locked(local / f"{name}.lock") or is_ready(int(name.removeprefix("triton-")))


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EAGAIN)
    return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
