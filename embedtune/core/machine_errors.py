"""What the machine lacks or refuses, in words: space, rights, memory, a module, a path that is what it must be."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.errors import EmbedtuneError
from embedtune.core.extras import missing_module

SPACE = "free some space, or use a directory on another disk; then run the same command again: it goes on"
RIGHTS = "give this user the right, or name another directory; then run the same command again: it goes on"
GPU = (
    "lower train.micro_batch_size and runtime.encode_batch_size, or set train.lora; end other programs on the "
    "GPU; then run the same command again: it goes on"
)
FIXES: dict[int, str] = {
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EROFS: "this disk is read-only: name a directory on another one",
    errno.ENOSPC: SPACE,
    errno.EDQUOT: f"this user's quota is used up: {SPACE}",
    errno.EFBIG: "the file system or a limit (ulimit -f) does not allow a file of this size",
    errno.ENAMETOOLONG: "use shorter names",
    errno.ENOTDIR: "a part of this path is a file: name another directory",
    errno.EISDIR: "this path is a directory, but a file is needed",
    errno.EIO: "the disk reports an error: check it, or use another one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ESTALE: "the network file system has lost the file: mount it again",
    errno.ENOTCONN: "the network file system is not connected: mount it again",
    errno.ENOLCK: "this file system has no locks: name a directory on another one",
    errno.EBUSY: "another program is using this file: when it has ended, run the same command again",
    errno.ENOMEM: "there is not enough memory: close other programs, or use a machine with more",
}
# What libraries say in words of their own, without the number of the system's error.
WORDS: dict[str, int] = {
    "no space left": errno.ENOSPC,
    "os error 28": errno.ENOSPC,
    "disk is full": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "permission denied": errno.EACCES,
    "os error 13": errno.EACCES,
    "readonly database": errno.EACCES,
    "read-only file system": errno.EROFS,
    "os error 30": errno.EROFS,
    "unable to open database file": errno.EACCES,
    "database is locked": errno.EBUSY,
    "disk i/o error": errno.EIO,
    "not enough disk space": errno.ENOSPC,  # datasets
    "pytorchstreamwriter failed": errno.ENOSPC,  # torch says no more than that a file could not be written
    "file write failed": errno.ENOSPC,
    "no usable temporary directory": errno.EACCES,
}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in what sqlite says about the disk or about rights: it says "readonly database" of any file.

    Args:
        path: The file that is opened or written.

    Raises:
        EmbedtuneError: The machine refuses.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if (known := as_machine_error(error)) is None:
            raise
        raise EmbedtuneError(f"{known.what}: {path}", fix=known.fix) from error


def as_machine_error(error: BaseException) -> EmbedtuneError | None:
    """Return the error to show if the machine refused something; None if the error is a defect of a program.

    Args:
        error: Any error; those that it was raised from count too.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if (found := _explained(at)) is not None:
            return found
        at = at.__cause__ or at.__context__
    return None


def _explained(error: BaseException) -> EmbedtuneError | None:
    text = str(error)
    if (missing := missing_module(error)) is not None:
        return missing
    if isinstance(error, MemoryError):
        return EmbedtuneError("there is not enough memory", got=text or None, fix=FIXES[errno.ENOMEM])
    if isinstance(error, RuntimeError) and "out of memory" in text.lower():
        return EmbedtuneError("the GPU has not enough memory", got=text.splitlines()[0], fix=GPU)
    number = error.errno if isinstance(error, OSError) else None
    if number not in FIXES:
        if not isinstance(error, OSError | sqlite3.Error | RuntimeError) and not _is_safetensors(error):
            return None
        number = next((code for words, code in WORDS.items() if words in text.lower()), None)
        if number is None:
            return None
        return EmbedtuneError(" ".join(text.split())[:300], fix=FIXES[number])
    filename = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or text
    return EmbedtuneError(f"{reason}: {filename}" if filename else str(reason), fix=FIXES[number or 0])


def _is_safetensors(error: BaseException) -> bool:
    return type(error).__name__ == "SafetensorError"  # by name, so that this module imports no numbers library
