"""The HTTP server: uvicorn with limited connections, which drains after SIGTERM."""

import asyncio
import errno
import signal
import socket
import threading
from typing import cast

import uvicorn
from fastapi import FastAPI
from prometheus_client import start_http_server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from embedtune.core.errors import EndpointError, InputError
from embedtune.serve.gateway.connections import ConnectionLimits, limited
from embedtune.serve.gateway.metrics import Metrics
from embedtune.serve.gateway.tls import Tls

FINISH_S = 30  # for requests in progress
BACKLOG = 2048


def http_server(app: FastAPI, limits: ConnectionLimits, tls: Tls | None = None) -> uvicorn.Server:
    """Return the server of an application; it is run with the sockets that it listens on.

    Args:
        app: The gateway.
        limits: Limits on its connections.
        tls: Its certificate; None: plain HTTP.
    """
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", limited(HttpToolsProtocol, limits)),  # uvicorn only calls it
        ws="none",
        access_log=False,
        server_header=False,
        ssl_context_factory=(lambda *_: tls.context) if tls else None,
        timeout_graceful_shutdown=FINISH_S,
        log_config=None,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InputError: The port is taken, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _cannot_listen(host, port, error, "--port") from error


def serve_metrics(metrics: Metrics, host: str, port: int) -> None:
    """Serve the metrics from a thread on a port of their own, which ends with the process.

    Raises:
        InputError: The port is taken, or this machine has no such address.
    """
    try:
        start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise _cannot_listen(host, port, error, "--metrics-port") from error


def _cannot_listen(host: str, port: int, error: OSError, option: str) -> InputError:
    taken = error.errno == errno.EADDRINUSE
    return InputError(
        f"the gateway cannot listen on {host}:{port}",
        got="the port is taken by another process" if taken else error.strerror or error,
        fix=f"choose another one with {option}, or stop that process" if taken else "choose another --host",
    )


def serve(
    app: FastAPI, listener: socket.socket, limits: ConnectionLimits, drain_s: float, tls: Tls | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in progress.

    Args:
        app: The gateway.
        listener: The socket that it listens on.
        limits: Limits on its connections.
        drain_s: Seconds to keep answering after SIGTERM, while /health returns 503.
        tls: Its certificate; None: plain HTTP.

    Raises:
        EndpointError: The server ended on its own; the log says why.
    """
    server = http_server(app, limits, tls)
    stop, at_once = threading.Event(), threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:  # Ctrl-C at a terminal: there is no load balancer to wait for
            at_once.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # Outside the main thread uvicorn leaves signals to us. It would stop listening at once, while Kubernetes may
    # keep sending requests until the removal of the endpoint has reached every node.
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    if thread.is_alive():
        app.state.gateway.draining = True
        at_once.wait(drain_s)
        server.should_exit = True
        thread.join()
    if not stop.is_set():
        raise EndpointError("the gateway ended unexpectedly", fix="see its log")
