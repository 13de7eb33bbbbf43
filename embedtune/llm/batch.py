"""Has many requests answered in batches, at a lower price and within 24 hours.

Replies get the keys of live replies. A batch is written down before it is submitted, so that a restarted command
goes on with it.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import openai
from openai.types import Batch as BatchState
from pydantic import BaseModel

from embedtune.core.errors import LLMEndpointError
from embedtune.core.progress import Task
from embedtune.llm.batch_api import BatchApi
from embedtune.llm.batch_file import batch_line, read_results
from embedtune.llm.batch_store import Batch, BatchStore
from embedtune.llm.budget import Budget
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.dialect import Dialect, request_body
from embedtune.llm.errors import ItemError, printable
from embedtune.llm.prices import most_usd, usd
from embedtune.llm.schema import strict_schema
from embedtune.llm.wire import Completion, shown_url

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)

# OpenAI's limits of one batch (platform.openai.com/docs/guides/batch): 50,000 requests, 200 MB.
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
ENDED = {"completed", "failed", "expired", "cancelled"}
GOES_ON = "the batch goes on at the provider: run the same command again to get its replies"


@dataclass(frozen=True)
class _Part:
    """The requests of one batch."""

    lines: Mapping[str, bytes]
    most_usd: float


async def answer_in_batches(
    client: LLMClient, api: BatchApi, requests: Sequence[LLMRequest[T]], task: Task
) -> None:
    """Put replies to the requests into the cache; those that get none in a batch are left to live calls.

    The first of the requests is always a live call, which shows how this endpoint wants to be asked.

    Args:
        client: Its cache, settings, pacing and budget count.
        api: The Batch API of the same LLM endpoint.
        requests: The requests.
        task: Its note shows the state of the batches.

    Raises:
        LLMEndpointError: A batch was refused or cancelled, or the LLM endpoint does not answer.
        GateError: The budget does not allow another request.
    """
    store = BatchStore(client.cache.path, f"{shown_url(client.settings)} {client.settings.model}")
    try:
        with store.alone(lambda: _wait(task)):
            desk: _Desk[T] = _Desk(client, api, store, task)
            await desk.answer(requests)
    finally:
        store.close()


def _wait(task: Task) -> None:
    task.note("waiting for another command that uses the batches of this cache")
    time.sleep(1.0)


@dataclass
class _Desk(Generic[T]):
    client: LLMClient
    api: BatchApi
    store: BatchStore
    task: Task
    requests: dict[str, LLMRequest[T]] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    @property
    def budget(self) -> Budget:
        return self.client.budget

    async def answer(self, requests: Sequence[LLMRequest[T]]) -> None:
        self.requests = self.client.waiting(requests)
        for batch in self.store.open_batches(list(self.requests)):
            await self._go_on(batch)
        first = True
        while left := self._left():
            if first:
                first = False
                await self._ask_live(left[0])
                continue
            for batch in [await self._submit(part) for part in self._parts(left)]:
                await self._finish(batch)

    def _left(self) -> list[str]:
        waiting = self.client.waiting(list(self.requests.values()))
        return [key for key in waiting if key not in self.tried]

    async def _ask_live(self, key: str) -> None:
        self.tried.add(key)
        try:
            await self.client.ask(self.requests[key])
            self.client.note_paid(key)
        except ItemError as error:
            log.debug("the first request of a batch got no reply: %s", error)

    def _parts(self, keys: Sequence[str]) -> Iterator[_Part]:
        """Divide the requests into batches that the provider and the budget allow.

        Each batch must be submitted before the next is asked for: what it reserves is taken from the budget.
        """
        settings, dialect = self.client.settings, self.client.dialect or Dialect()
        lines: dict[str, bytes] = {}
        most, size, room = 0.0, 0, self.budget.room_usd
        for key in keys:
            request = self.requests[key]
            schema = strict_schema(request.schema)
            line = batch_line(key, request_body(settings, request.messages, schema, dialect))
            cost = settings.batch_price * most_usd(settings, request.messages, schema, dialect)
            if room is not None and most + cost > room:
                if not lines:
                    raise self.budget.exceeded(cost)
                break
            if len(lines) == MAX_REQUESTS or size + len(line) > MAX_BYTES:
                yield _Part(lines, most)
                lines, most, size, room = {}, 0.0, 0, self.budget.room_usd
            lines[key] = line
            most, size = most + cost, size + len(line)
        yield _Part(lines, most)

    async def _submit(self, part: _Part) -> Batch:
        batch = uuid.uuid4().hex
        self.store.begin(batch, part.lines)
        if not self.budget.reserve_batch(part.most_usd, batch):
            self.store.ended(batch)
            raise self.budget.exceeded(part.most_usd)
        try:
            remote = await self.api.submit(batch, b"".join(part.lines.values()))
        except LLMEndpointError:
            self._end(batch, 0.0)
            raise
        except openai.APIError as error:
            raise self._unusable(
                "did not say whether it received a batch",
                printable(str(error)),
                "run the same command again: it looks for the batch first",
            ) from None
        self.store.submitted(batch, remote)
        log.info("submitted batch %s with %d requests", remote, len(part.lines))
        return Batch(batch, remote, frozenset(part.lines))

    async def _go_on(self, batch: Batch) -> None:
        """Go on with a batch of an earlier run, which may have ended before it was submitted."""
        remote = batch.remote or await self.api.find(batch.batch)
        if remote is None:
            self._end(batch.batch, 0.0)
            return
        log.info("going on with batch %s", remote)
        self.store.submitted(batch.batch, remote)
        await self._finish(Batch(batch.batch, remote, batch.keys))

    async def _finish(self, batch: Batch) -> None:
        """Wait until a batch has ended, and take in its results."""
        state = await self._ended(batch.remote or "")
        lines: list[str] = []
        for file_id in (state.output_file_id, state.error_file_id):
            lines += await self.api.lines(file_id) if file_id else []
        cost, answered, usable, expired = 0.0, 0, 0, set()
        for result in read_results(lines):
            if isinstance(result.outcome, Completion):
                answered += 1
                tokens = result.outcome.prompt_tokens, result.outcome.completion_tokens
                cost += self.client.settings.batch_price * usd(self.client.settings, *tokens)
                request = self.requests.get(result.key)
                usable += request is not None and self.client.accept(request, result.outcome)
            elif result.expired:
                expired.add(result.key)
        self._end(batch.batch, cost)
        self.tried |= batch.keys - expired
        log.info("batch %s: %s, %d of %d replies are usable", batch.remote, state.status, usable, len(batch.keys))
        self._require_progress(state, batch, answered)

    def _require_progress(self, state: BatchState, batch: Batch, answered: int) -> None:
        if state.status == "failed":
            errors = state.errors.data if state.errors and state.errors.data else []
            words = "; ".join(error.message or error.code or "" for error in errors) or "no reason given"
            raise self._unusable(f"refused batch {batch.remote}", printable(words), "nothing was charged for it")
        if state.status == "cancelled":
            fix = "run the same command again for the rest; its finished replies are kept"
            raise self._unusable(f"says that batch {batch.remote} was cancelled", f"{answered} replies", fix)
        if state.status == "expired" and not answered:
            fix = "run the same command again later, or set batch to none"
            raise self._unusable(f"answered nothing of batch {batch.remote} in its time", "expired", fix)

    async def _ended(self, remote: str) -> BatchState:
        """Look at a batch until it has ended; an LLM endpoint that does not answer is waited for."""
        silent_since: float | None = None
        while True:
            try:
                state = await self.api.get(remote)
            except openai.APIError as error:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since >= self.client.settings.outage_s:
                    raise self._unusable("does not answer", printable(str(error)), GOES_ON) from None
            else:
                silent_since = None
                if state.status in ENDED:
                    return state
                counts = state.request_counts
                done = f", {counts.completed + counts.failed} of {counts.total}" if counts else ""
                self.task.note(f"batch {remote}: {state.status}{done}")
            await asyncio.sleep(self.client.pacing.poll_s)

    def _end(self, batch: str, cost: float) -> None:
        self.budget.settle_batch(batch, cost)
        self.store.ended(batch)

    def _unusable(self, what: str, detail: str, fix: str) -> LLMEndpointError:
        return LLMEndpointError(f"the LLM endpoint {shown_url(self.client.settings)} {what}", got=detail, fix=fix)
