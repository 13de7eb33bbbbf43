"""Sends many requests at once: failed ones are kept as errors, and too many of them stop the run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from pydantic import BaseModel

from embedtune.core.progress import Task
from embedtune.llm.batch import answer_in_batches
from embedtune.llm.batch_exchange import exchange_files
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError
from embedtune.llm.tally import Tally

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)

SHOWN_EVERY_S = 5.0


async def gather_replies(
    client: LLMClient, requests: Sequence[LLMRequest[T]], task: Task, max_failed_share: float
) -> list[T | ItemError]:
    """Return a reply to each request, or its error; a limited number of requests is in flight at a time.

    Requests that failed only because the LLM endpoint did are sent a second time, after all others.

    Args:
        client: Answers the requests; its `settings.concurrency` is the limit.
        requests: The requests.
        task: Updated once per request, and every few seconds with counts, rate and cost as its note.
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
    tally = Tally(client, task, len(requests), max_failed_share)
    async with _shown(tally):
        await _send(client, list(enumerate(requests)), results, tally)
        if tally.postponed:
            again = [(place, requests[place]) for place in sorted(tally.postponed)]
            log.warning("%d LLM calls failed for now (%s): sent again", len(again), tally.reasons())
            tally.begin_second_pass()
            await _send(client, again, results, tally)
    failures = [result for result in results.values() if isinstance(result, ItemError)]
    client.note_unanswered(sum(failure.transient for failure in failures))
    return [results[position] for position in range(len(requests))]


@asynccontextmanager
async def _shown(tally: Tally) -> AsyncIterator[None]:
    """Show the state of the calls every few seconds, also while none of them ends."""

    async def show() -> None:
        while True:
            await asyncio.sleep(SHOWN_EVERY_S)
            tally.show()

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _send(
    client: LLMClient,
    requests: Sequence[tuple[int, LLMRequest[T]]],
    results: dict[int, T | ItemError],
    tally: "Tally",
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
    tally: "Tally",
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
