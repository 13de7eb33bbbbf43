"""The time that one task of a worker may take; the kernel ends the process after it.

A timer whose signal has its default action works even while a library of C code keeps Python from running.
"""

import signal

_seconds = 0.0  # 0: this process is no worker, and has no limit


def start(seconds: float) -> None:
    """Start the clock: this process ends after so many seconds, unless it is restarted or stopped."""
    global _seconds
    _seconds = seconds
    restart()


def restart() -> None:
    """Give the current task the whole time again: called for each document of a file that holds many."""
    if _seconds:
        signal.setitimer(signal.ITIMER_REAL, _seconds)


def stop() -> None:
    """Stop the clock."""
    signal.setitimer(signal.ITIMER_REAL, 0)
