"""Tasks for the processes that tests start; they must be importable there."""

import os
import signal
import time
from pathlib import Path


def double(task: int) -> int:
    """Return twice the task; some tasks do to their process what a damaged file may do to its reader."""
    match task:
        case 13:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 17:
            time.sleep(60)
        case 19:
            os._exit(3)
        case 23:
            raise OSError(28, "No space left on device")
        case 29:
            return len(bytearray(2 << 30))
    return 2 * task


def slow_once(folder: str) -> str:
    """End the process the first time, and succeed the second."""
    seen = Path(folder) / "seen"
    if not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"
