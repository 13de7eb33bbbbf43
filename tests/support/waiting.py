"""Waits for what another process or thread does in its own time: late on a busy machine."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60, pause_s: float = 0.01) -> None:
    """Return when the condition holds; fail the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause_s)
