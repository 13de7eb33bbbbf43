"""Being told to end: Kubernetes and service managers send SIGTERM where a terminal sends Ctrl-C."""

import signal
from types import FrameType
from typing import NoReturn


def interrupt_on_sigterm() -> None:
    """Let SIGTERM raise KeyboardInterrupt in the main thread, so that what is under way is undone or kept."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
