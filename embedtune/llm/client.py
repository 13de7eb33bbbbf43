"""The LLM client: typed asks, answered by the cache, a recording or an endpoint."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from embedtune.core.config.generate import EndpointSettings
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.cache import CachedReply, Request, ResponseCache
from embedtune.llm.endpoint import ChatEndpoint
from embedtune.llm.errors import ItemError, ReplayMiss, printable
from embedtune.llm.pacing import DEFAULT_PACING, Pacing
from embedtune.llm.schema import (
    CUT_OFF,
    REFUSED,
    Message,
    Problem,
    json_part,
    read_as,
    repair_messages,
    strict_schema,
)
from embedtune.llm.wire import Completion

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)

# A tokenizer never makes more tokens than bytes; what a chat template adds to a message is below this.
TEMPLATE_TOKENS = 64
FIXES = {CUT_OFF: "raise max_tokens of this endpoint, or ask for less in one call"}


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One question to an LLM.

    Attributes:
        prompt: Name of the prompt, for messages and counts.
        messages: The chat: dictionaries with `role` and `content`.
        schema: The pydantic model that the reply must be.
    """

    prompt: str
    messages: Sequence[Message]
    schema: type[T]


class LLMClient:
    """Answers asks, each paid for at most once. Belongs to one event loop; use it as an async context manager.

    Args:
        settings: The endpoint.
        api_key: Its key, or None.
        cache: Where replies are kept; several clients may share it.
        replay: Answer from the cache alone and never open a connection.
        budget: Ceiling on the cost; several clients may share it.
        pacing: Waits between attempts.

    Raises:
        EndpointError: No endpoint is configured and nothing is replayed.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        api_key: str | None,
        cache: ResponseCache,
        *,
        replay: bool = False,
        budget: Budget | None = None,
        pacing: Pacing = DEFAULT_PACING,
    ) -> None:
        self.settings = settings
        self._cache = cache
        self._endpoint = None if replay else ChatEndpoint(settings, api_key, pacing)
        self._budget = budget or Budget(None)
        self._usage = Usage()
        # One ask at a time for each key: whoever comes second finds the reply in the cache.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; the cache stays open."""
        if self._endpoint is not None:
            await self._endpoint.close()

    @property
    def usage(self) -> Usage:
        """What this client did so far, failed items included."""
        return self._usage

    @property
    def limit(self) -> int:
        """How many requests may be under way now: it shrinks when the endpoint is congested."""
        return self._endpoint.limit if self._endpoint else self.settings.concurrency

    async def ask(self, ask: Ask[T]) -> T:
        """Return a reply that satisfies the schema, from the cache if it is there.

        Raises:
            ItemError: No usable reply to this ask; others may work.
            ReplayMiss: The recording holds no reply to it.
            EndpointError: The endpoint cannot be used at all.
            GateError: The budget does not allow the call.
        """
        request = request_of(self.settings, ask)
        lock = self._locks.setdefault(request.key, asyncio.Lock())
        async with lock:
            stored = self._cache.get(request.key)
            answer = read_as(ask.schema, stored.text) if stored else None
            # A stored reply may fail a validator that came later: then it is asked for again.
            if answer is not None and not isinstance(answer, Problem):
                self._usage = replace(self._usage, cached_calls=self._usage.cached_calls + 1)
                return answer
            if self._endpoint is None:
                raise self._miss(request, answer)
            return await self._call(self._endpoint, ask, request)

    async def _call(self, endpoint: ChatEndpoint, ask: Ask[T], request: Request) -> T:
        """Ask the endpoint, once more with the error if the reply is not valid; keep a valid one."""
        completion = await self._paid(endpoint, request, ask.messages)
        answer = self._read(completion, ask.schema)
        sent, received = completion.prompt_tokens, completion.completion_tokens
        if isinstance(answer, Problem) and answer.kind != REFUSED:
            log.debug("prompt %s: %s (%s); asking for a repair", ask.prompt, answer.kind, answer.detail)
            repair = [*ask.messages, *repair_messages(completion.text, answer)]
            completion = await self._paid(endpoint, request, repair)
            answer = self._read(completion, ask.schema)
            sent, received = sent + completion.prompt_tokens, received + completion.completion_tokens
        if isinstance(answer, Problem):
            raise ItemError(ask.prompt, answer.kind, answer.detail, fix=FIXES.get(answer.kind))
        self._cache.put(request, CachedReply(json_part(completion.text), sent, received))
        return answer

    async def _paid(self, endpoint: ChatEndpoint, request: Request, messages: Sequence[Message]) -> Completion:
        """Send one request within the budget and book what it cost."""
        settings = self.settings
        text_bytes = sum(len(message["content"].encode()) + TEMPLATE_TOKENS for message in messages)
        most_tokens = text_bytes + len(str(request.schema).encode())
        async with self._budget.reserve(_usd(settings, most_tokens, settings.max_tokens)) as book:
            completion = await endpoint.complete(request.prompt, messages, request.schema)
            book(_usd(settings, completion.prompt_tokens, completion.completion_tokens))
        before = self._usage
        sent = before.prompt_tokens + completion.prompt_tokens
        received = before.completion_tokens + completion.completion_tokens
        cost = _usd(settings, sent, received)
        self._usage = Usage(sent, received, before.calls + 1, before.cached_calls, cost)
        return completion

    def _read(self, completion: Completion, schema: type[T]) -> T | Problem:
        if completion.refusal or completion.finish_reason == "content_filter":
            return Problem(REFUSED, printable(completion.refusal or "the endpoint's content filter"))
        if completion.finish_reason == "length":
            most = self.settings.max_tokens
            return Problem(CUT_OFF, f"cut off at {completion.completion_tokens} tokens (max_tokens {most})")
        return read_as(schema, json_part(completion.text))

    def _miss(self, request: Request, invalid: Problem | None) -> ReplayMiss:
        origins = self._cache.origins(request.prompt)
        mine = request.origin
        # One model's replies have many schemas: one for each selection of styles.
        known = sorted({f"model {origin.model}, {origin.parameters}" for origin in origins})
        recorded = "; ".join(known) or "nothing"
        if invalid is not None:
            difference = f"the recorded reply is no longer valid: {invalid.detail}"
        elif not origins:
            difference = "the recording holds no reply to this prompt at all"
        elif mine in origins:
            difference = "the messages: other documents, another order, or the prompt's text has changed"
        elif all(origin.model != mine.model for origin in origins):
            difference = f"the model: {mine.model or 'none is configured'}"
        elif all(origin.parameters != mine.parameters for origin in origins):
            difference = f"the parameters: {mine.parameters}"
        else:
            difference = "the JSON schema of the reply"
        return ReplayMiss(request.prompt, difference, recorded)


def request_of(settings: EndpointSettings, ask: Ask[T]) -> Request:
    """Return what is sent for an ask, and what its reply is kept under."""
    parameters = settings.model_dump(include={"temperature", "top_p", "max_tokens", "seed"})
    return Request(ask.prompt, settings.model, parameters, strict_schema(ask.schema), ask.messages)


def _usd(settings: EndpointSettings, prompt_tokens: int, completion_tokens: int) -> float:
    """Return the price of tokens; prices are USD for a million."""
    return (prompt_tokens * settings.price_in + completion_tokens * settings.price_out) / 1e6
