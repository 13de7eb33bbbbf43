"""Limits on connections: how many there are, and how long one may send no request or not read its answer.

Where as many are open as may be, a new one takes the place of the one that has waited longest for a request:
whoever opens connections and says nothing shuts nobody out.

Uvicorn closes a connection that is idle after an answer, but neither one that never sends a complete request nor
one that does not read. Each connection of uvicorn is wrapped here; what the wrapper does not limit it passes on.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from embedtune.serve.gateway.http_errors import RefusedError

REQUEST_S = 20.0  # until the headers of a request are complete
READ_S = 60.0  # for which a client may leave its answer unread
# Of a request that are not its body, in one go: its headers, and what may follow the body (trailers). Without a
# bound each of the client's five bytes of trailers would take a hundred here.
MAX_HEAD_BYTES = 65_536
MAX_PIPELINED = 64  # requests that a client sends before it has the answer to the first one
SLICE = 16_384  # so much is passed on before the bounds are looked at
UPGRADE = re.compile(rb"\r\nUpgrade:[^\r\n]*", re.IGNORECASE)
FULL = RefusedError(503, "too many connections are open", code="too_many_connections", retry_after_s=1)


@dataclass
class ConnectionLimits:
    """The limits.

    Args:
        connections: How many may be open.
        request_s: Seconds until the headers of a request must be complete.
        read_s: Seconds for which a client may leave its answer unread.
        open: Those that are open.
        waiting: Those of them that wait for a request, longest first.
    """

    connections: int
    request_s: float = REQUEST_S
    read_s: float = READ_S
    open: int = 0
    waiting: dict["LimitedConnection", None] = field(default_factory=dict)

    def make_room(self) -> bool:
        """Return whether one more may be open; one that waits for a request may be closed for it."""
        if self.open < self.connections:
            return True
        if not self.waiting:
            return False
        next(iter(self.waiting)).give_way()
        return True


def limited(
    protocol: Callable[..., asyncio.Protocol], limits: ConnectionLimits
) -> Callable[..., asyncio.Protocol]:
    """Return a factory of limited connections, for uvicorn's `http`.

    Args:
        protocol: Uvicorn's own factory.
        limits: Shared by all connections.
    """

    def make(**given: Any) -> asyncio.Protocol:  # Any: uvicorn's arguments, passed on
        return LimitedConnection(protocol(**given), limits)

    return make


class LimitedConnection(asyncio.Protocol):
    """A connection within the limits.

    Args:
        inner: Uvicorn's connection.
        limits: Shared by all connections.
    """

    def __init__(self, inner: asyncio.Protocol, limits: ConnectionLimits) -> None:
        self._inner = inner
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._head = 0
        self._refused = False
        self._left = False
        self._ended: Any = None  # the request behind which `_head` was last set to 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and refuse it if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._limits.make_room():
            self._refused = True
            self._transport.write(_written(FULL))
            self._transport.close()
            return
        self._limits.open += 1
        self._inner.connection_made(transport)
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop counting it."""
        for timer in (self._waiting, self._unread):
            if timer:
                timer.cancel()
        if self._refused:
            return
        self._leave()
        self._inner.connection_lost(error)

    def give_way(self) -> None:
        """Close, and stop counting at once: the place is for another one."""
        self._leave()
        self._abort()

    def _leave(self) -> None:
        self._limits.waiting.pop(self, None)
        self._limits.open -= not self._left
        self._left = True

    def data_received(self, data: bytes) -> None:
        """Pass data on, and watch whether a request comes of it."""
        if self._refused:
            return
        for start in range(0, len(data), SLICE):
            self._pass_on(data[start : start + SLICE])
            if self._transport is None or self._transport.is_closing():
                return
        self._watch()

    def _pass_on(self, data: bytes) -> None:
        cycle = self._cycle()
        if cycle is not self._ended and cycle.response_complete and not cycle.more_body:
            self._head, self._ended = 0, cycle
        before = _body_size(cycle)
        self._inner.data_received(data if cycle is not self._ended or self._head else _without_upgrade(data))
        progress = self._cycle() is not cycle or _body_size(cycle) > before
        self._head = 0 if progress else self._head + len(data)
        if self._head > MAX_HEAD_BYTES or len(getattr(self._inner, "pipeline", ())) > MAX_PIPELINED:
            self._abort()

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return None if self._refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client reads more slowly than the answer is written."""
        self._inner.pause_writing()
        self._unread = asyncio.get_running_loop().call_later(self._limits.read_s, self._abort)

    def resume_writing(self) -> None:
        """The client has read."""
        if self._unread:
            self._unread.cancel()
        self._inner.resume_writing()

    def _cycle(self) -> Any:
        """Return uvicorn's record of the request whose head was read last."""
        return getattr(self._inner, "cycle", None)

    def _answering(self) -> bool:
        cycle = self._cycle()
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        if self._answering():
            self._limits.waiting.pop(self, None)
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None
        elif self._waiting is None:
            self._limits.waiting[self] = None
            self._waiting = asyncio.get_running_loop().call_later(self._limits.request_s, self._expire)

    def _expire(self) -> None:
        self._waiting = None
        if not self._answering():
            self._abort()

    def _abort(self) -> None:
        if self._transport:
            self._transport.abort()


def _without_upgrade(data: bytes) -> bytes:
    """Return the beginning of a request without the wish for another protocol, which HTTP lets a server ignore.

    Java's HttpClient has that wish by default (h2c). With it, uvicorn would pass on a request without its body.

    Args:
        data: It begins with the head of a request.
    """
    end = data.find(b"\r\n\r\n")
    return UPGRADE.sub(b"", data[:end]) + data[end:] if end >= 0 and UPGRADE.search(data, 0, end) else data


def _body_size(cycle: Any) -> int:
    """Return how much of a body waits for the application, which takes none of it before this thread is idle."""
    return 0 if cycle is None else len(cycle.body)


def _written(refused: RefusedError) -> bytes:
    response = refused.response("")
    headers = {**response.headers, "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {refused.status} Service Unavailable\r\n{head}\r\n".encode() + bytes(response.body)
