"""The processes in which Triton runs Python models. Triton 2.51 neither restarts one that has died nor says so."""

from collections.abc import Collection
from pathlib import Path

STUB = b"triton_python_backend_stub"
DEAD = ("Z", "X")


def model_processes(server: int, model: str) -> frozenset[int]:
    """Return the processes of a model that are alive; for a model that is not in Python there are none.

    Args:
        server: Process id of tritonserver, which leads their process group.
        model: Its name in the model repository.
    """
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _alive(int(folder.name), server):
            program, *words = _read(folder / "cmdline").split(b"\0")
            if program.endswith(STUB) and any(word.endswith(b"/%s/1/model.py" % model.encode()) for word in words):
                found.add(int(folder.name))
    return frozenset(found)


def all_alive(processes: Collection[int], server: int) -> bool:
    """Return whether processes are alive.

    Args:
        processes: From `model_processes`.
        server: Process id of their tritonserver.
    """
    return all(_alive(process, server) for process in processes)


def _alive(process: int, server: int) -> bool:
    # After the name, in parentheses: state, parent, process group.
    state, _, group, *_ = _read(Path(f"/proc/{process}/stat")).rpartition(b")")[2].split() or [b"X", b"", b"0"]
    return state.decode() not in DEAD and int(group) == server


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has just ended
        return b""
