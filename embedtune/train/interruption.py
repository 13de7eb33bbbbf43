"""Ctrl-C during training: the step is finished and a checkpoint saved, so that no work is lost."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)


@dataclass
class Interruption:
    """Whether someone has asked the training to stop."""

    requested: bool = False

    def request(self, signum: int, frame: FrameType | None) -> None:
        """Take notice of a signal; the second one ends the training at once.

        Raises:
            KeyboardInterrupt: It is the second one.
        """
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.warning("training stops after this step and saves a checkpoint; interrupt again to stop at once")


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Catch Ctrl-C and SIGTERM, and raise KeyboardInterrupt at the end if there was one.

    Only the main thread gets signals; in another one nothing is caught.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interruption.requested:
        raise KeyboardInterrupt
