"""Whose turn it is: work is admitted if it fits the deadline, and clients share the model fairly.

The order is start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queuing", 1996): a flow is all short
or all long requests of one client. Each part of a request gets a start tag, the later of the virtual time and the
end of its flow's last part, and the part with the smallest tag is next. So a flow that has been idle is next,
however much others have queued: a short query does not wait behind bulk indexing, and no client behind another's.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.rate import Rate

PART_S = 0.1  # how much work a part of a request is
WINDOW_S = 0.5  # how much work Triton has at a time: enough to merge into batches; what comes next waits for it
LEAST_PARTS = 2  # that Triton has at a time: one is tokenised while the other is encoded
MOST_PARTS = 128  # that Triton has at a time; its own queue takes 256 requests
USABLE = 0.85  # of the deadline: estimates are not exact
Flow = tuple[str, bool]  # a client, and whether its requests are short


@dataclass(order=True)
class _Part:
    start: float
    number: int
    tokens: int = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class Turns:
    """Admits requests and orders their parts. All methods are called in one event loop.

    Args:
        deadline_s: Seconds in which a request must be answered.
        clock: Seconds, as the event loop's time.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = Rate()
        self.deadline_s = deadline_s
        self._clock = clock
        self._pending: dict[Flow, int] = {}  # tokens that are waiting or at Triton
        self._waiting: list[_Part] = []
        self._numbers = itertools.count()
        self._ends: dict[Flow, float] = {}  # end tag of each flow's last part
        self._virtual = 0.0
        self._parts = self._tokens = 0  # at Triton
        self._measured = clock()

    @property
    def pending_tokens(self) -> int:
        """Tokens that are waiting or at Triton."""
        return sum(list(self._pending.values()))  # a list at once: the thread of the metrics reads it too

    def part_tokens(self) -> int:
        """Return how many tokens a part of a request should have."""
        return max(1, int(self.rate.tokens_per_s * PART_S))

    def flow(self, client: str, tokens: int) -> Flow:
        """Return the flow of a request: short ones, of a single part, do not wait for the client's long ones."""
        return client, tokens <= self.part_tokens()

    @contextmanager
    def admitted(self, flow: Flow, tokens: int) -> Iterator[None]:
        """Count the work of a request until it is answered, if it fits the deadline.

        Each flow may have its share of what fits, with one share left for a flow that is idle now. If nothing is
        pending, a request is admitted however large it is.

        Raises:
            RefusedError: It does not fit; `Retry-After` says when it will.
        """
        others = len(self._pending.keys() - {flow})
        own = self._pending.get(flow, 0)
        rate = self.rate.tokens_per_s
        share = rate * self.deadline_s * USABLE / (others + 2)
        if self._pending and own + tokens > share:
            # After a start the rate is a guess, so nobody is sent away for longer than it has been measured.
            longest = min(self.deadline_s, 1 + self.rate.measured_s)
            wait = min(longest, (own + tokens - share) * (others + 1) / rate)
            what = (
                f"too much work is waiting: this request has about {tokens} tokens, {self.pending_tokens} are "
                f"before it, and the model reads {rate:.0f} per second"
            )
            raise RefusedError(429, what, code="rate_limit_exceeded", retry_after_s=wait)
        self._pending[flow] = own + tokens
        try:
            yield
        finally:
            self._pending[flow] -= tokens
            if not self._pending[flow]:
                del self._pending[flow]
            if not self._pending:
                self._ends.clear()

    @asynccontextmanager
    async def turn(self, flow: Flow, tokens: int, until: float) -> AsyncIterator[None]:
        """Wait for the turn of a part of a request; what is done with it ends with the context.

        Args:
            flow: The flow of the request.
            tokens: About how many the part has.
            until: The request's deadline, in the event loop's time.

        Raises:
            RefusedError: The deadline has passed; the part was not sent.
        """
        self._measure(0)
        start = max(self._virtual, self._ends.get(flow, 0.0))
        self._ends[flow] = start + tokens
        part = _Part(start, next(self._numbers), tokens, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, part)
        self._next()
        try:
            async with asyncio.timeout_at(until):
                await part.turn
        except TimeoutError as error:
            self._leave(part)
            raise RefusedError(504, "the model did not answer in time", code="timeout", retry_after_s=1) from error
        except asyncio.CancelledError:
            self._leave(part)
            raise
        try:
            yield
        finally:
            self._done(part)

    def answered(self, tokens: int) -> None:
        """Measure the rate by an answer of Triton."""
        self._measure(tokens)

    def _leave(self, part: _Part) -> None:
        if part.turn.done() and not part.turn.cancelled():  # its turn came in the same moment
            self._done(part)
        else:
            self._measure(0)
        part.turn.cancel()

    def _done(self, part: _Part) -> None:
        self._measure(0)
        self._parts -= 1
        self._tokens -= part.tokens
        self._next()

    def _next(self) -> None:
        window = self.rate.tokens_per_s * WINDOW_S
        while self._waiting and self._parts < MOST_PARTS:
            part = self._waiting[0]
            if not part.turn.done():
                if self._parts >= LEAST_PARTS and self._tokens + part.tokens > window:
                    return
                self._parts += 1
                self._tokens += part.tokens
                self._virtual = part.start
                part.turn.set_result(None)
            heapq.heappop(self._waiting)

    def _measure(self, tokens: int) -> None:
        """Count the time since the last change as busy if something waited or Triton had half of its work."""
        now = self._clock()
        busy = bool(self._waiting) or self._tokens > self.rate.tokens_per_s * WINDOW_S / 2
        if busy:
            self.rate.add(tokens, now - self._measured)
        self._measured = now
