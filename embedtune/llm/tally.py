"""Counts the calls of a run while they are made, and stops the run when too many failed."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embedtune.core.errors import GateError
from embedtune.core.formatting import duration
from embedtune.core.progress import Task
from embedtune.llm.budget import Usage
from embedtune.llm.client import LLMClient
from embedtune.llm.errors import ItemError
from embedtune.llm.traffic import MOST_STRETCHED

log = logging.getLogger(__name__)

# With fewer finished items, the share of failures is not meaningful.
MIN_FINISHED = 20
SHOWN_REASONS = 3
PATIENT_S = 60.0


@dataclass
class Tally:
    """Counts finished and failed items, and stops the run when too many failed.

    Items that will be sent a second time count as failed only while the LLM endpoint has answered nothing at all.
    """

    client: LLMClient
    task: Task
    total: int
    max_failed_share: float
    finished: int = 0
    failures: list[ItemError] = field(default_factory=list)
    postponed: dict[int, ItemError] = field(default_factory=dict)
    second_pass: bool = False
    clock: Callable[[], float] = time.monotonic
    skipped: int = 0
    asked_to_wait: bool = False

    def __post_init__(self) -> None:
        self.before = self.client.usage
        self.started = self.clock()

    def begin_second_pass(self) -> None:
        """Count the items that are sent a second time as failed if they fail again."""
        self.postponed, self.second_pass = {}, True

    def failed_one(self, position: int, error: ItemError) -> None:
        """Count an item that got no reply."""
        if error.transient and not self.second_pass:
            self.postponed[position] = error
            self.show()
            self._check()
            return
        self.failures.append(error)
        self.finished_one()

    def finished_one(self) -> None:
        """Count an item that is done, and stop the run if too many have failed."""
        self.finished += 1
        # Replies of an earlier run say nothing about how long the rest takes.
        if self.skipped < self._cached:
            self.skipped += 1
            self.task.skip()
        else:
            self.task.advance()
        self.show()
        self._check()

    @property
    def _cached(self) -> int:
        return self.client.usage.cached_calls - self.before.cached_calls

    def show(self) -> None:
        """Show the state of the calls; after a minute without any reply, say once what can be done."""
        self.task.note(self._note())
        waited = self.clock() - self.started
        if waited >= PATIENT_S and not self.asked_to_wait and not self._answered and not self._cached:
            self.asked_to_wait = True
            traffic, settings = self.client.traffic, self.client.settings
            log.warning(
                "%s has answered none of %d calls in %s. It is slow, overloaded or out of order: see its log. A "
                "call may take %g s (timeout_s of this LLM endpoint); a server that answers few calls at once "
                "needs a lower concurrency (%d). This run goes on: it sends calls one at a time if they take too "
                "long, and waits up to %g s for each",
                *(settings.model, traffic.in_flight, duration(waited), settings.timeout_s, settings.concurrency),
                MOST_STRETCHED * settings.timeout_s,
            )

    @property
    def _answered(self) -> int:
        return self.client.usage.calls - self.before.calls

    def _check(self) -> None:
        counted = [] if self.client.works else list(self.postponed.values())
        failures = [*self.failures, *counted]
        ended = self.finished + len(counted)
        if ended >= min(MIN_FINISHED, self.total) and len(failures) > self.max_failed_share * ended:
            raise self._too_many(failures, ended)

    def _note(self) -> str:
        usage, traffic = self.client.usage, self.client.traffic
        tokens = usage.completion_tokens - self.before.completion_tokens
        rate = tokens / max(self.clock() - self.started, 1e-9)
        parts = [f"{traffic.in_flight} in flight"] if traffic.in_flight else []
        parts += [f"{self._answered} calls answered"]
        parts += [f"{self._cached} cached"] if self._cached else []
        parts += [f"{traffic.timed_out} timed out"] if traffic.timed_out else []
        parts += [f"{traffic.retried} sent again"] if traffic.retried else []
        parts += [f"{len(self.failures)} failed"] if self.failures else []
        parts += [f"{len(self.postponed)} to be sent again"] if self.postponed else []
        parts += [f"{rate:.0f} tokens/s"] if tokens else []
        limit, most = self.client.limit, self.client.settings.concurrency
        parts += [f"{limit} at once"] if limit < most else []
        return ", ".join([*parts, *self._cost(usage)])

    def _cost(self, usage: Usage) -> list[str]:
        """Return the money so far; without prices it is unknown, and the tokens are what there is to say."""
        settings = self.client.settings
        if settings.price_in is None and settings.price_out is None:
            sent = usage.prompt_tokens + usage.completion_tokens
            return [f"{sent:,} tokens, price unknown"] if sent else []
        return [f"${usage.cost_usd:.2f}"] if usage.cost_usd else []

    def reasons(self) -> str:
        """Return why items are sent a second time."""
        counts = Counter(error.kind for error in self.postponed.values())
        return ", ".join(f"{n} x {kind}" for kind, n in counts.most_common(SHOWN_REASONS))

    def _too_many(self, failures: Sequence[ItemError], ended: int) -> GateError:
        counts = Counter(error.kind for error in failures)
        example = {error.kind: error.detail for error in reversed(failures)}
        lines = [f"{n} x {kind}, for example: {example[kind]}" for kind, n in counts.most_common(SHOWN_REASONS)]
        return GateError(
            f"too many LLM items failed: {len(failures)} of the first {ended} "
            f"(of {self.total} sent to {self.client.settings.model})",
            got="; ".join(lines),
            expected=f"at most {self.max_failed_share:.0%} (generate.max_failed_share)",
            fix="fix the causes above (another model, more max_tokens, a slower pace) and run again: "
            "all replies so far are kept",
        )
