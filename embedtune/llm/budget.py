"""The cost of LLM calls, and a ceiling on it that several clients share."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from embedtune.core.errors import GateError
from embedtune.llm.ledger import Ledger

log = logging.getLogger(__name__)
# How often to look whether the calls of another process have ended.
POLL_S = 0.5


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


@dataclass
class Reservation:
    """The money for one call. Unless its cost is settled, it is not known how the call ended."""

    ledger: Ledger
    ticket: str
    settled: bool = field(default=False, init=False)

    def settle(self, usd: float) -> None:
        """Book what the call has cost."""
        self.settled = True
        self.ledger.settle(self.ticket, usd)


class Budget:
    """A ceiling in USD on what all clients and all processes with the same ledger spend.

    Before it is sent, a call reserves the most that it can cost. Near the ceiling, calls wait until the real cost
    of those in flight is known, so that no reply that was paid for is thrown away. The run stops when no call is
    left to wait for.

    Args:
        max_usd: The ceiling; None: there is none, but what is spent is booked.
        ledger: Where it is booked; None: in memory, for this process alone.
    """

    def __init__(self, max_usd: float | None, ledger: Ledger | None = None) -> None:
        self._max_usd = max_usd
        self._ledger = ledger or Ledger(None, "")
        # A new event for each settlement: an event belongs to the event loop that waits for it, a budget to none.
        self._settled = asyncio.Event()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    @property
    def spent_usd(self) -> float:
        """Cost of the finished calls in USD, those of earlier runs and other processes included."""
        return self._ledger.balance().spent_usd

    @property
    def room_usd(self) -> float | None:
        """What may still be reserved, in USD; None if there is no ceiling."""
        balance = self._ledger.balance()
        taken = balance.spent_usd + balance.reserved_usd
        return None if self._max_usd is None else self._max_usd - taken

    def reserve_batch(self, most_usd: float, ticket: str) -> bool:
        """Reserve money for a batch, which may take any time; return whether the ceiling allows it.

        Args:
            most_usd: The most that the batch can cost.
            ticket: Name of the batch, by which a later process settles it.
        """
        return isinstance(self._ledger.reserve(most_usd, self._max_usd, None, ticket), str)

    def settle_batch(self, ticket: str, usd: float) -> None:
        """Book what a batch has cost."""
        self._ledger.settle(ticket, usd)

    @asynccontextmanager
    async def reserve(self, most_usd: float, valid_s: float) -> AsyncIterator[Reservation]:
        """Reserve money for a call that is made in the body.

        Args:
            most_usd: The most that the call can cost.
            valid_s: Seconds after which the call has ended in any case.

        Raises:
            GateError: The call could exceed the ceiling.
        """
        reservation = Reservation(self._ledger, await self._admitted(most_usd, valid_s))
        try:
            yield reservation
        finally:
            if not reservation.settled:
                self._ledger.lose(reservation.ticket)
            settled, self._settled = self._settled, asyncio.Event()
            settled.set()

    async def _admitted(self, most_usd: float, valid_s: float) -> str:
        waited = False
        while True:
            outcome = self._ledger.reserve(most_usd, self._max_usd, valid_s)
            if isinstance(outcome, str):
                return outcome
            if outcome.reserved_usd <= outcome.batches_usd:  # a batch is not waited for: it may take days
                raise self.exceeded(most_usd)
            if not waited:
                log.info("near the cost ceiling: waiting for the cost of the calls in flight")
            waited = True
            try:
                await asyncio.wait_for(self._settled.wait(), POLL_S)
            except TimeoutError:
                continue  # the calls may be another process's

    def exceeded(self, most_usd: float) -> GateError:
        """Return the error of a call that the ceiling does not allow."""
        balance = self._ledger.balance()
        lost = f", of which ${balance.lost_usd:.4f} for calls that broke off" if balance.lost_usd else ""
        if balance.batches_usd:
            lost += f" and up to ${balance.batches_usd:.4f} is reserved for open batches"
        return GateError(
            f"the next LLM call could exceed the cost ceiling: ${balance.spent_usd:.4f} is spent{lost}, earlier "
            f"runs with the same chunks included, and the call may cost up to ${most_usd:.4f}",
            got=f"${balance.spent_usd + most_usd:.4f}",
            expected=f"at most ${self._max_usd:.4f} (generate.max_cost)",
            fix="raise generate.max_cost and run again: the replies so far are kept, not paid for again",
        )
