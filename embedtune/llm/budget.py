"""The cost of LLM calls, and a ceiling on it that several clients share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from embedtune.core.errors import GateError


@dataclass(frozen=True)
class Usage:
    """The calls, tokens and cost of one client in this run.

    Attributes:
        prompt_tokens: Tokens sent, as the LLM endpoint counted them.
        completion_tokens: Tokens received, as the LLM endpoint counted them.
        calls: Requests that the LLM endpoint answered with a completion, repairs included.
        cached_calls: Requests that the cache or a recording answered, at no cost.
        cost_usd: Tokens times prices, in USD.
        unanswered: Requests that got no reply because the LLM endpoint failed, not because of what they ask.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    cached_calls: int = 0
    cost_usd: float = 0.0
    unanswered: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.cached_calls + other.cached_calls,
            self.cost_usd + other.cost_usd,
            self.unanswered + other.unanswered,
        )


class Budget:
    """A ceiling in USD on what all clients that share it spend in one run.

    Before it is sent, a call reserves the most that it can cost. Near the ceiling, calls wait until the real cost
    of those in flight is known, so that no reply that was paid for is thrown away. The run stops when no call is
    left to wait for.
    """

    def __init__(self, max_usd: float | None) -> None:
        self._max_usd = max_usd
        self._spent_usd = 0.0
        self._reserved: dict[object, float] = {}
        # A new event for each settlement: an event belongs to the event loop that waits for it, a budget to none.
        self._settled = asyncio.Event()

    @property
    def limited(self) -> bool:
        """Whether there is a ceiling."""
        return self._max_usd is not None

    @property
    def spent_usd(self) -> float:
        """Cost of the finished calls in USD."""
        return self._spent_usd

    @asynccontextmanager
    async def reserve(self, worst_usd: float) -> AsyncIterator[Callable[[float], None]]:
        """Reserve `worst_usd` for a call; the yielded function books its real cost.

        Raises:
            GateError: The call could exceed the ceiling.
        """
        await self._admit(worst_usd)
        ticket = object()
        self._reserved[ticket] = worst_usd
        try:
            yield self._book
        finally:
            del self._reserved[ticket]
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()

    def _book(self, usd: float) -> None:
        self._spent_usd += usd

    async def _admit(self, worst_usd: float) -> None:
        while not self._fits(worst_usd):
            if not self._reserved:
                raise GateError(
                    f"the next LLM call could exceed the cost ceiling: ${self._spent_usd:.4f} is spent and "
                    f"the call may cost up to ${worst_usd:.4f}",
                    got=f"${self._spent_usd + worst_usd:.4f}",
                    expected=f"at most ${self._max_usd:.4f} (generate.max_cost)",
                    fix="raise generate.max_cost and run again: the replies so far are kept, not paid for again",
                )
            await self._settled.wait()

    def _fits(self, worst_usd: float) -> bool:
        committed = self._spent_usd + sum(self._reserved.values())
        return self._max_usd is None or committed + worst_usd <= self._max_usd
