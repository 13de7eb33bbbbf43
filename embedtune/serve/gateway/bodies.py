"""Reads bodies of requests: not too large, in time, and not too many at once; notices clients that leave."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive

from embedtune.serve.gateway.http_errors import RefusedError

# An oversized body is drained up to this multiple of the limit: a client that is still sending would never read
# the 413.
DRAINED_BODIES = 4
# Memory for bodies that are still arriving, in bodies of the largest size.
BUFFERED_BODIES = 16
# This much of a body does not count: small requests are answered even if large bodies fill the memory.
SMALL_BYTES = 65_536
Answer = TypeVar("Answer")


class ClientGoneError(Exception):
    """The client closed the connection before it was answered: nobody reads an answer."""


@dataclass
class Bodies:
    """Reads bodies.

    Args:
        max_bytes: Maximum size of a body.
        seconds: Time in which a body must arrive.
    """

    max_bytes: int
    seconds: float
    buffered: int = 0  # bytes of the bodies that are arriving now

    async def read(self, receive: Receive) -> bytes:
        """Return a body.

        Raises:
            ClientGoneError: The body was cut off.
            RefusedError: It is too large, does not arrive in time, or too many are arriving.
        """
        parts: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(self.seconds):
                size, more = 0, True
                while more and size <= self.max_bytes * DRAINED_BODIES:
                    part, more = await _part(receive)
                    size += len(part)
                    if size > self.max_bytes:
                        parts.clear()
                        continue
                    parts.append(part)
                    held = self._hold(held, size)
        except TimeoutError as error:
            what = f"the body did not arrive within {self.seconds:g} seconds"
            raise RefusedError(408, what, code="body_timeout") from error
        finally:
            self.buffered -= held
        if size > self.max_bytes:
            what = f"the body is larger than {self.max_bytes} bytes: send fewer texts"
            raise RefusedError(413, what, code="body_too_large")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _hold(self, held: int, size: int) -> int:
        """Count what a body takes, in addition to what it was counted for before."""
        now = max(0, size - SMALL_BYTES)
        if self.buffered + now - held > self.max_bytes * BUFFERED_BODIES:
            what = "too many large bodies are arriving at once"
            raise RefusedError(503, what, code="too_many_bodies", retry_after_s=1)
        self.buffered += now - held
        return now


async def _part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the result of work, which is cancelled if the client leaves.

    Args:
        receive: ASGI's, after the body has been read: the next message is that the client has disconnected.
        work: What the client waits for.

    Raises:
        ClientGoneError: The client has left.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.wait({task})  # what it did until now is counted
