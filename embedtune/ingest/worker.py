"""A process of its own in which files are read, so that nothing a file does to its reader ends ingest.

Command line: `python -m embedtune.ingest.worker FD SECONDS GIGABYTES MODULE`. It receives a function, then tasks
one after the other, and sends back what the function returns or raises.
"""

import ctypes
import importlib
import logging
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

from embedtune.ingest import time_limit

PR_SET_PDEATHSIG = 1


def main(descriptor: int, seconds: float, gigabytes: float) -> None:
    """Work until the other side closes the connection.

    Args:
        descriptor: File descriptor of the connection.
        seconds: Longest time of one task.
        gigabytes: Most memory of this process.
    """
    _end_with_parent()
    logging.disable(logging.CRITICAL)  # what libraries say about damaged files would fill the disk
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = Connection(descriptor)
    try:
        work = connection.recv()
        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * (1 << 30)), resource.RLIM_INFINITY))
        connection.send(os.getpid())
        while True:
            task = connection.recv()
            time_limit.start(seconds)
            try:
                reply = work(task)
            except Exception as error:  # such as a full disk: the parent raises it
                reply = error
            time_limit.stop()
            connection.send(reply)
    except (EOFError, BrokenPipeError):
        return


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    importlib.import_module(sys.argv[4])  # takes a second, in which the parent prepares the first message
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
