"""Middleware for every request: API key, body, metrics, and a line in the access log, never with a text in it."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedtune.serve.gateway.access_tokens import AccessTokens, is_token
from embedtune.serve.gateway.bodies import Bodies, ClientGoneError
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.keys import ANYBODY, Key, Keys
from embedtune.serve.gateway.metrics import Asked, Metrics
from embedtune.serve.gateway.routes import Route
from embedtune.serve.gateway.tracing import Tracing
from embedtune.serve.release.record import short

access = logging.getLogger("embedtune.access")
# What needs no key: probes, metrics, the bare page and the documentation.
OPEN = (
    "/",
    "/docs",
    "/health",
    "/health/live",
    "/metrics",
    "/openapi.json",
    "/v1/health/live",
    "/v1/health/ready",
)
QUIET = ("/health", "/health/live", "/metrics", "/v1/health/live", "/v1/health/ready")  # not in the access log
READING = ("GET", "HEAD")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
CLIENT_GONE = 499  # nginx's status for it; nobody receives it
STATE = "embedtune"  # where `Account` is in the ASGI scope


@dataclass
class Account:
    """What is known about a request when it ends.

    Args:
        request_id: The client's own id, or a new one.
        key: The API key that was sent; None: none is needed.
        known: Whether who asks may read what only the operator and clients should know.
        texts: How many were embedded.
        tokens: How many the model read.
        release: Which release was asked; None: none was.
        model: Under which name, without a pin.
    """

    request_id: str
    key: Key | None = None
    known: bool = True
    texts: int = 0
    tokens: int = 0
    release: str | None = None
    model: str = ""

    def ask(self, route: Route) -> None:
        """Remember what answers the request."""
        self.release, self.model = route.release, route.name.partition("@")[0]

    def asked(self, path: str = "") -> Asked:
        """Return what the request asked for, as metrics name it.

        Args:
            path: Its route.
        """
        return Asked(path, self.model, short(self.release) if self.release else "")

    def spend(self, tokens: int) -> None:
        """Count tokens that the model has read."""
        self.tokens += tokens

    @property
    def client(self) -> str:
        """The name of the key."""
        return self.key.name if self.key else ANYBODY


@dataclass(frozen=True)
class Guard:
    """ASGI middleware.

    Args:
        app: The application behind it.
        metrics: Updated once per request.
        bodies: Reads the bodies.
        keys: Who may send requests.
        tokens: Checks access tokens of an identity provider; None: none are accepted.
        draining: Returns whether the gateway is about to stop.
        tracing: Records requests other than probes.
    """

    app: ASGIApp
    metrics: Metrics
    bodies: Bodies
    keys: Keys
    tokens: AccessTokens | None
    draining: Callable[[], bool]
    tracing: Tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] in QUIET:
            await self._handle(scope, headers, receive, send)
            return
        with self.tracing.request(headers, scope["method"]):
            await self._handle(scope, headers, receive, send)

    async def _handle(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        account = scope[STATE] = Account(_request_id(headers.get(b"x-request-id", b"")))
        status = 500

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(account, status)]
            await send(message)

        started = time.perf_counter()
        with self.metrics.in_progress.track_inprogress():
            try:
                await self._identify(scope, headers.get(b"authorization", b""), account)
                body = await self.bodies.read(receive)
                started = time.perf_counter()
                await self.app(scope, _replaying(body, receive), answering)
            except RefusedError as refused:
                await refused.response(scope["path"])(scope, receive, answering)
            except ClientGoneError:
                status = CLIENT_GONE
            finally:
                self._count(scope, account, status, time.perf_counter() - started)

    async def _identify(self, scope: Scope, authorization: bytes, account: Account) -> None:
        try:
            account.key = await self._client(authorization)
        except RefusedError:
            if scope["path"] not in OPEN or scope["method"] not in READING:
                raise
            account.known = False

    async def _client(self, authorization: bytes) -> Key | None:
        if self.tokens is None:
            return self.keys.find(authorization)
        token = is_token(authorization)
        return await self.tokens.find(token) if token else self.keys.find(authorization, needed=True)

    def _headers(self, account: Account, status: int) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", account.request_id.encode())]
        # Draining: make the client open a new connection, to a server that keeps running. 408: its body is unread.
        if self.draining() or status == 408:
            headers.append((b"connection", b"close"))
        return headers

    def _count(self, scope: Scope, account: Account, status: int, seconds: float) -> None:
        # FastAPI puts the matched route into the ASGI scope; raw paths would let anyone create endless series.
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")
        self.metrics.answered(account.asked(path), str(status), seconds)
        self.keys.spend(account.key, account.tokens)
        if account.key:
            self.metrics.key_requests.labels(account.key.name, str(status)).inc()
            self.metrics.key_tokens.labels(account.key.name).inc(account.tokens)
        if path not in QUIET:
            self._trace(scope["method"], path, account, status)
            access.info(
                "request=%s key=%s method=%s route=%s status=%d ms=%.1f texts=%d tokens=%d release=%s",
                account.request_id,
                account.client,
                scope["method"],
                path,
                status,
                seconds * 1000,
                account.texts,
                account.tokens,
                account.release or "-",
            )

    def _trace(self, method: str, path: str, account: Account, status: int) -> None:
        known: dict[str, str | int] = {
            "http.route": path,
            "http.response.status_code": status,
            "embedtune.request_id": account.request_id,
            "embedtune.key": account.client,
        }
        if account.release:
            known |= {
                "embedtune.release": account.release,
                "embedtune.texts": account.texts,
                "embedtune.tokens": account.tokens,
            }
        self.tracing.describe(known, name=f"{method} {path}", failed=status >= 500)


def _request_id(given: bytes) -> str:
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _replaying(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
