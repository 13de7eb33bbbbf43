"""How fast an endpoint may be asked: how long to wait after a failure, and how many requests at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Pacing:
    """Waits between attempts, in seconds.

    Attributes:
        base_s: Upper bound of the first wait; it doubles with each attempt.
        cap_s: Upper bound of any wait that we choose ourselves.
        longest_s: The longest Retry-After that is waited out; a longer one stops the run, which can be resumed.
    """

    base_s: float = 1.0
    cap_s: float = 60.0
    longest_s: float = 600.0


DEFAULT_PACING = Pacing()


def retry_delay(attempt: int, retry_after_s: float | None, pacing: Pacing) -> float:
    """Return the seconds to wait before the next attempt.

    Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): uniform
    in [0, min(cap, base * 2^attempt)]. Where the server names a time, that is waited out, and at most `base_s` of
    jitter keeps the requests that were refused together from coming back together.

    Args:
        attempt: Attempts that failed before this one, from 0.
        retry_after_s: What the server asked for.
        pacing: Bounds.
    """
    if retry_after_s is not None:
        return retry_after_s + random.uniform(0.0, pacing.base_s)
    return random.uniform(0.0, min(pacing.cap_s, pacing.base_s * 2.0**attempt))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or an HTTP date. None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, now)
    return max(0.0, seconds) if seconds < float("inf") else None


def _seconds_until(value: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


class AdaptiveLimit:
    """Bounds the requests under way: additive increase, multiplicative decrease, as TCP does.

    Congestion halves the limit, once for all requests that were sent before the last halving: sixteen requests
    that are refused together say the same thing once. As many successes in a row as the limit raise it by one.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = maximum
        self._busy = 0
        self._era = 0
        self._successes = 0
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return self._limit

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait until one more request may be sent; yields the era to report congestion with."""
        while self._busy >= self._limit:
            await self._changed.wait()
        self._busy += 1
        try:
            yield self._era
        finally:
            self._busy -= 1
            self._wake()

    def succeeded(self) -> None:
        """Count a request that the endpoint answered."""
        self._successes += 1
        if self._successes >= self._limit and self._limit < self._maximum:
            self._limit += 1
            self._successes = 0
            self._wake()

    def congested(self, era: int) -> None:
        """Halve the limit, unless the request was sent before the last halving."""
        if era == self._era:
            self._era += 1
            self._limit = max(1, self._limit // 2)
            self._successes = 0

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
