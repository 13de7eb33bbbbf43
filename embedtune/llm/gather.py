"""Sends many requests at once: failed ones are kept as errors, and too many of them stop the run."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from embedtune.core.errors import GateError
from embedtune.core.progress import Task
from embedtune.llm.batch import answer_in_batches
from embedtune.llm.batch_exchange import exchange_files
from embedtune.llm.budget import Usage
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)

# With fewer finished items, the share of failures is not meaningful.
MIN_FINISHED = 20
SHOWN_REASONS = 3


async def gather_replies(
    client: LLMClient, requests: Sequence[LLMRequest[T]], task: Task, max_failed_share: float
) -> list[T | ItemError]:
    """Return a reply to each request, or its error; a limited number of requests is in flight at a time.

    Requests that failed only because the LLM endpoint did are sent a second time, after all others.

    Args:
        client: Answers the requests; its `settings.concurrency` is the limit.
        requests: The requests.
        task: Updated once per request, with counts, rate and cost as its note.
        max_failed_share: The run stops when a larger share of the finished items failed, once 20 or all of them
            are finished.

    Returns:
        Replies and errors, in the order of `requests`.

    Raises:
        GateError: Too many items failed, or the budget is used up.
        LLMEndpointError: The LLM endpoint cannot be used at all.
        ReplayMiss: The recording has no reply to a request.
        BatchPending: The requests were written to a file, whose results are not there yet.
    """
    if client.exchanges_files:
        exchange_files(client, requests)
    elif client.batch_api is not None:
        await answer_in_batches(client, client.batch_api, requests, task)
    results: dict[int, T | ItemError] = {}
    tally = _Tally(client, task, len(requests), max_failed_share)
    await _send(client, list(enumerate(requests)), results, tally)
    if tally.postponed:
        again = [(place, requests[place]) for place in sorted(tally.postponed)]
        log.warning("%d LLM calls failed for now (%s): sent again", len(again), tally.reasons())
        tally.begin_second_pass()
        await _send(client, again, results, tally)
    failures = [result for result in results.values() if isinstance(result, ItemError)]
    client.note_unanswered(sum(failure.transient for failure in failures))
    return [results[position] for position in range(len(requests))]


async def _send(
    client: LLMClient,
    requests: Sequence[tuple[int, LLMRequest[T]]],
    results: dict[int, T | ItemError],
    tally: "_Tally",
) -> None:
    queue = iter(requests)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(client.settings.concurrency, len(requests))):
                group.create_task(_work(client, queue, results, tally))
    except BaseExceptionGroup as several:
        # All workers stop for the same reason: the first error is enough.
        raise several.exceptions[0] from None


async def _work(
    client: LLMClient,
    queue: Iterator[tuple[int, LLMRequest[T]]],
    results: dict[int, T | ItemError],
    tally: "_Tally",
) -> None:
    for position, request in queue:
        # A cached reply never yields to the event loop: without this, Ctrl-C would wait for all of them.
        await asyncio.sleep(0)
        try:
            results[position] = await client.ask(request)
        except ItemError as error:
            results[position] = error
            tally.failed_one(position, error)
        else:
            tally.finished_one()


@dataclass
class _Tally:
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
    before: Usage = field(init=False)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = self.client.usage

    def begin_second_pass(self) -> None:
        self.postponed, self.second_pass = {}, True

    def failed_one(self, position: int, error: ItemError) -> None:
        if error.transient and not self.second_pass:
            self.postponed[position] = error
            self.task.note(self._note())
            self._check()
            return
        self.failures.append(error)
        self.finished_one()

    def finished_one(self) -> None:
        self.finished += 1
        self.task.advance()
        self.task.note(self._note())
        self._check()

    def _check(self) -> None:
        counted = [] if self.client.works else list(self.postponed.values())
        failures = [*self.failures, *counted]
        ended = self.finished + len(counted)
        if ended >= min(MIN_FINISHED, self.total) and len(failures) > self.max_failed_share * ended:
            raise self._too_many(failures, ended)

    def _note(self) -> str:
        usage = self.client.usage
        tokens = usage.completion_tokens - self.before.completion_tokens
        rate = tokens / max(time.monotonic() - self.started, 1e-9)
        parts = [f"{usage.calls - self.before.calls} calls"]
        cached = usage.cached_calls - self.before.cached_calls
        parts += [f"{cached} cached"] if cached else []
        parts += [f"{len(self.failures)} failed"] if self.failures else []
        parts += [f"{len(self.postponed)} to be sent again"] if self.postponed else []
        parts += [f"{rate:.0f} tokens/s"] if tokens else []
        limit, most = self.client.limit, self.client.settings.concurrency
        parts += [f"{limit} at once"] if limit < most else []
        parts += [f"${usage.cost_usd:.2f}"] if usage.cost_usd else []
        return ", ".join(parts)

    def reasons(self) -> str:
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
