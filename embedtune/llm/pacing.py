"""Controls how fast requests are sent: the wait after a failure, and the number of requests in flight."""

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
        cap_s: Upper bound of any wait that the server does not ask for.
        longest_s: Longest Retry-After that is waited for; a longer one stops the run, which can be resumed.
        poll_s: Time between two looks at a batch.
    """

    base_s: float = 1.0
    cap_s: float = 60.0
    longest_s: float = 600.0
    poll_s: float = 30.0


DEFAULT_PACING = Pacing()


def retry_delay(attempt: int, retry_after_s: float | None, pacing: Pacing) -> float:
    """Return the seconds to wait before the next attempt.

    Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): uniform
    in [0, min(cap, base * 2^attempt)]. If the server names a time, the wait is that long, plus at most `base_s` of
    jitter so that requests that were refused together are not repeated together.

    Args:
        attempt: Number of attempts that failed before this one, from 0.
        retry_after_s: Wait that the server asked for, if any.
        pacing: Bounds of the wait.
    """
    if retry_after_s is not None:
        return retry_after_s + random.uniform(0.0, pacing.base_s)
    return random.uniform(0.0, min(pacing.cap_s, pacing.base_s * 2.0 ** min(attempt, 64)))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or an HTTP date. Returns None if it is neither."""
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
    """Limits the number of requests in flight: additive increase, multiplicative decrease, as in TCP.

    Congestion halves the limit. Requests that were sent before the last halving do not halve it again: sixteen
    requests that are refused together count once. After as many successes as the limit, it rises by one.
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
        """Number of requests that may be in flight now."""
        return self._limit

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[int]:
        """Wait until one more request may be sent; yields the era, to be passed to `congested`."""
        while self._busy >= self._limit:
            await self._changed.wait()
        self._busy += 1
        try:
            yield self._era
        finally:
            self._busy -= 1
            self._wake()

    @property
    def busy(self) -> int:
        """Number of requests in flight now."""
        return self._busy

    def succeeded(self) -> None:
        """Count a request that the LLM endpoint answered."""
        self._successes += 1
        if self._successes >= self._limit and self._limit < self._maximum:
            self._limit += 1
            self._successes = 0
            self._wake()

    def is_new(self, era: int) -> bool:
        """Return whether a request was sent after the last halving."""
        return era == self._era

    def congested(self, era: int, *, alone: bool = False) -> None:
        """Halve the limit, unless the request was sent before the last halving.

        Args:
            era: When the request was sent.
            alone: Whether to send one at a time instead.
        """
        if era == self._era:
            self._era += 1
            self._limit = 1 if alone else max(1, self._limit // 2)
            self._successes = 0

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
