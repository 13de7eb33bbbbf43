"""Handles SIGTERM, which Kubernetes and service managers send to end a process, like Ctrl-C in a terminal."""

import signal
from types import FrameType
from typing import NoReturn


def interrupt_on_sigterm() -> None:
    """Make SIGTERM raise KeyboardInterrupt in the main thread, so that work in progress is undone or saved."""
    signal.signal(signal.SIGTERM, interrupt)


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal as Ctrl-C is handled."""
    raise KeyboardInterrupt
