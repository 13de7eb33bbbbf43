"""Middleware for every request: checks the API key, limits the body, counts and times the request."""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.metrics import Metrics

OPEN = ("/health", "/health/live", "/metrics", "/", "/docs", "/openapi.json")
# An oversized body is drained up to this multiple of the limit: a client that is still sending would never read
# the 413.
DRAINED_BODIES = 4


@dataclass(frozen=True)
class Guard:
    """ASGI middleware.

    Args:
        app: The application behind it.
        metrics: Updated once per request.
        max_body_bytes: Maximum size of a request body.
        draining: Returns whether the gateway is about to stop.
        api_key: Bearer token that clients must send; None: none is needed.
    """

    app: ASGIApp
    metrics: Metrics
    max_body_bytes: int
    draining: Callable[[], bool]
    api_key: str | None = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.draining():
                    # Make the client open a new connection, to a server that keeps running.
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        started = time.perf_counter()
        with self.metrics.in_progress.track_inprogress():
            try:
                self._check_key(scope)
                body = await self._body(receive)
                started = time.perf_counter()
                await self.app(scope, _replaying(body, receive), counting)
            except RefusedError as refused:
                await refused.response()(scope, receive, counting)
            finally:
                self._count(scope, status, time.perf_counter() - started)

    def _check_key(self, scope: Scope) -> None:
        if self.api_key is None or scope["path"] in OPEN:
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self.api_key.encode()):
            what = "wrong API key" if given else "no API key: send the header Authorization: Bearer KEY"
            raise RefusedError(401, what, code="invalid_api_key")

    async def _body(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more and size <= self.max_body_bytes * DRAINED_BODIES:
            message = await receive()
            if message["type"] != "http.request":  # the client has disconnected
                break
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size <= self.max_body_bytes:
                parts.append(part)
        if size > self.max_body_bytes:
            raise RefusedError(
                413,
                f"the body is larger than {self.max_body_bytes} bytes: send fewer texts",
                code="body_too_large",
            )
        return b"".join(parts)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # FastAPI puts the matched route into the ASGI scope; raw paths would let anyone create endless series.
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")
        self.metrics.requests.labels(path, str(status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)


def _replaying(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
