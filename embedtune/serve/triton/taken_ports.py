"""Whether the ports of a Triton are free: one that is ending holds them for a while."""

import socket
import time
from contextlib import ExitStack

from embedtune.serve.triton.server import LOOPBACK, POLL_S, STOP_S, Ports


def wait_for_ports(ports: Ports, timeout_s: float = STOP_S + 5) -> bool:
    """Wait until nothing listens on the ports; return whether that happened. A server may still be ending.

    Args:
        ports: The ports.
        timeout_s: Longest time to wait, in seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not _free(ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _free(ports: Ports) -> bool:
    with ExitStack() as stack:
        for port in (ports.http, ports.grpc, ports.metrics):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not matter
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                return False
    return True
