"""The LLM client: typed requests, answered from the cache, from a recording or by an LLM endpoint."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.batch_api import BatchApi
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.cache import CachedReply, ResponseCache
from embedtune.llm.cache_key import RequestIdentity, SamplingParameters
from embedtune.llm.dialect import Dialect
from embedtune.llm.errors import ItemError, ReplayMiss, printable
from embedtune.llm.learned import Learned
from embedtune.llm.pacing import DEFAULT_PACING, Pacing
from embedtune.llm.prices import usd
from embedtune.llm.retries import LLMEndpoint
from embedtune.llm.schema import (
    CUT_OFF,
    NO_JSON,
    REFUSED,
    Message,
    Problem,
    ends_early,
    json_part,
    read_as,
    repair_messages,
    strict_schema,
)
from embedtune.llm.traffic import Traffic
from embedtune.llm.wire import Completion

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)

FIXES = {
    CUT_OFF: "raise max_tokens of this LLM endpoint, have it think less (extra), or request less per call",
}
FILTERED = {"content_filter", "sensitive", "safety", "refusal"}


@dataclass(frozen=True)
class LLMRequest(Generic[T]):
    """One request to an LLM.

    Attributes:
        prompt: Name of the prompt, for error messages and counts.
        messages: The chat.
        schema: The pydantic model that the reply must satisfy.
        documents: Ids of the documents that the messages quote, so that replies about one can be deleted.
    """

    prompt: str
    messages: Sequence[Message]
    schema: type[T]
    documents: Sequence[str] = ()


class LLMClient:
    """Answers requests and pays for each at most once. Belongs to one event loop; an async context manager.

    Args:
        settings: The LLM endpoint.
        api_key: Its API key, or None.
        cache: Stores the replies; several clients may share it.
        replay: Whether to answer from the cache alone and never open a connection.
        budget: Ceiling on the cost; several clients may share it.
        pacing: Waits between attempts.
        section: Section of the configuration that the settings are from, for error messages.

    Raises:
        LLMEndpointError: No LLM endpoint is configured and nothing is replayed.
    """

    def __init__(
        self,
        settings: LLMEndpointSettings,
        api_key: str | None,
        cache: ResponseCache,
        *,
        replay: bool = False,
        budget: Budget | None = None,
        pacing: Pacing = DEFAULT_PACING,
        section: str = "generate.llm",
    ) -> None:
        self.settings = settings
        self.cache = cache
        self.pacing = pacing
        self.budget = budget or Budget(None)
        self._replay = replay
        live = not replay and settings.batch != "files"
        self._endpoint = LLMEndpoint(settings, api_key, self.budget, pacing, section) if live else None
        self.batch_api = BatchApi(settings, api_key) if settings.batch == "api" and not replay else None
        self._usage = Usage()
        self._accepted: set[str] = set()
        self._failed: dict[str, str] = {}
        # One request at a time per key: the second one finds the reply in the cache.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. The cache stays open."""
        if self._endpoint is not None:
            await self._endpoint.close()
        if self.batch_api is not None:
            await self.batch_api.close()

    def share(self, learned: Learned) -> Self:
        """Use and add to what other clients of the run have learned about LLM endpoints; return this client."""
        if self._endpoint is not None:
            self._endpoint.learned = learned
        return self

    @property
    def usage(self) -> Usage:
        """Tokens, calls and cost so far, failed items included."""
        return self._usage

    @property
    def exchanges_files(self) -> bool:
        """Whether the replies come from files of results, and no server is called."""
        return self.settings.batch == "files" and not self._replay

    @property
    def works(self) -> bool:
        """Whether the LLM endpoint, the cache or the recording has answered anything yet."""
        return self._endpoint is None or self._endpoint.works

    @property
    def traffic(self) -> Traffic:
        """What happens between this process and the LLM endpoint; nothing, if replies are not live."""
        return self._endpoint.traffic if self._endpoint else Traffic()

    @property
    def dialect(self) -> Dialect | None:
        """The form of request that the LLM endpoint accepts, as far as it is known; None in a replay."""
        return self._endpoint.dialect if self._endpoint else None

    def note_unanswered(self, number: int) -> None:
        """Count requests that got no reply because the LLM endpoint failed."""
        self._usage = replace(self._usage, unanswered=self._usage.unanswered + number)

    @property
    def limit(self) -> int:
        """Number of requests that may be in flight now; it shrinks when the LLM endpoint is congested."""
        return self._endpoint.limit if self._endpoint else self.settings.concurrency

    async def ask(self, request: LLMRequest[T]) -> T:
        """Return a reply that satisfies the schema, from the cache if possible.

        Raises:
            ItemError: There is no usable reply to this request; other requests may work.
            ReplayMiss: The recording has no reply to this request.
            LLMEndpointError: The LLM endpoint cannot be used at all.
            GateError: The budget does not allow the call.
        """
        identity = identity_of(self.settings, request)
        lock = self._locks.setdefault(identity.key, asyncio.Lock())
        async with lock:
            answer = self._stored(identity, request.schema)
            if answer is not None and not isinstance(answer, Problem):
                fresh = identity.key in self._accepted
                self._accepted.discard(identity.key)
                self._usage = replace(self._usage, cached_calls=self._usage.cached_calls + (not fresh))
                if self._endpoint is not None:
                    self._endpoint.worked_before()
                return answer
            if identity.key in self._failed:
                raise ItemError(request.prompt, "failed in a batch", self._failed[identity.key])
            if self._endpoint is None:
                raise self._miss(identity, answer)
            return await self._call(self._endpoint, request, identity)

    def waiting(self, requests: Sequence[LLMRequest[T]]) -> dict[str, LLMRequest[T]]:
        """Return the requests that have no valid reply in the cache, by cache key."""
        found = {}
        for request in requests:
            identity = identity_of(self.settings, request)
            if isinstance(self._stored(identity, request.schema), Problem | None):
                found[identity.key] = request
        return found

    def accept(self, request: LLMRequest[T], completion: Completion) -> bool:
        """Store a completion from a batch, and return whether it is a valid reply."""
        self._count(completion, self.settings.batch_price)
        if isinstance(self._read(completion, request.schema), Problem):
            return False
        identity = identity_of(self.settings, request)
        tokens = completion.prompt_tokens, completion.completion_tokens
        self.cache.put(identity, CachedReply(json_part(completion.text), *tokens))
        self.note_paid(identity.key)
        return True

    def note_paid(self, key: str) -> None:
        """Take notice of a reply that this run has paid for: when `ask` finds it, it is not one from the cache."""
        self._accepted.add(key)

    def note_failed(self, failed: Mapping[str, str]) -> None:
        """Take notice of requests that failed in a batch, with the reasons: `ask` does not send them."""
        self._failed.update(failed)

    def _stored(self, identity: RequestIdentity, schema: type[T]) -> T | Problem | None:
        """Return the stored reply; it may fail a validator that was added later: then the LLM is asked again."""
        stored = self.cache.get(identity)
        return read_as(schema, stored.text) if stored else None

    async def _call(self, endpoint: LLMEndpoint, request: LLMRequest[T], identity: RequestIdentity) -> T:
        """Call the LLM endpoint, call it again with the error if the reply is invalid, and store a valid reply."""
        completion = await self._paid(endpoint, identity, request.messages)
        answer = self._read(completion, request.schema)
        sent, received = completion.prompt_tokens, completion.completion_tokens
        if not isinstance(answer, Problem) or answer.kind not in (REFUSED, CUT_OFF):
            endpoint.note_reply(valid=not isinstance(answer, Problem))
        if isinstance(answer, Problem) and answer.kind != REFUSED:
            log.debug("prompt %s: %s (%s); asking for a repair", request.prompt, answer.kind, answer.detail)
            repair = [*request.messages, *repair_messages(completion.text, answer)]
            completion = await self._paid(endpoint, identity, repair, show_schema=answer.kind != CUT_OFF)
            answer = self._read(completion, request.schema)
            sent, received = sent + completion.prompt_tokens, received + completion.completion_tokens
        if isinstance(answer, Problem):
            raise ItemError(request.prompt, answer.kind, answer.detail, fix=FIXES.get(answer.kind))
        self.cache.put(identity, CachedReply(json_part(completion.text), sent, received))
        return answer

    async def _paid(
        self,
        endpoint: LLMEndpoint,
        identity: RequestIdentity,
        messages: Sequence[Message],
        *,
        show_schema: bool = False,
    ) -> Completion:
        """Send one request and record its cost."""
        completion = await endpoint.complete(identity.prompt, messages, identity.schema, show_schema=show_schema)
        self._count(completion)
        return completion

    def _count(self, completion: Completion, price_share: float = 1.0) -> None:
        sent, received = completion.prompt_tokens, completion.completion_tokens
        self._usage += Usage(sent, received, calls=1, cost_usd=price_share * usd(self.settings, sent, received))

    def _read(self, completion: Completion, schema: type[T]) -> T | Problem:
        if completion.refusal or completion.finish_reason.lower() in FILTERED:
            return Problem(REFUSED, printable(completion.refusal or "the LLM endpoint's content filter"))
        if completion.finish_reason == "length":
            most = self.settings.max_tokens
            spent = "" if completion.text else ", all of them thoughts" if completion.thoughts else ""
            detail = f"cut off at {completion.completion_tokens} tokens (max_tokens {most}){spent}"
            return Problem(CUT_OFF, detail)
        if not completion.text and completion.thoughts:
            return Problem(NO_JSON, "the reply has thoughts (reasoning_content) and nothing else")
        answer = read_as(schema, json_part(completion.text))
        if isinstance(answer, Problem) and ends_early(completion.text):
            ended = f"the reply ends in the middle of its JSON, after {completion.completion_tokens} tokens"
            return Problem(CUT_OFF, f"{ended} (finish_reason {completion.finish_reason or 'not given'})")
        return answer

    def _miss(self, identity: RequestIdentity, invalid: Problem | None) -> ReplayMiss:
        origins, mine = self.cache.origins(identity.prompt), identity.origin
        # The replies of one model have many schemas: one per combination of styles.
        known = sorted({f"model {origin.model}, {origin.parameters}" for origin in origins})
        recorded = "; ".join(known) or "nothing"
        if invalid is not None:
            difference = f"the recorded reply is no longer valid: {invalid.detail}"
        elif not origins:
            difference = "the recording has no reply to this prompt at all"
        elif mine in origins:
            difference = "the messages: different documents, a different order, or a changed prompt text"
        elif all(origin.model != mine.model for origin in origins):
            difference = f"the model: {mine.model or 'none is configured'}"
        elif all(origin.parameters != mine.parameters for origin in origins):
            difference = f"the parameters: {mine.parameters}"
        else:
            difference = "the JSON schema of the reply"
        return ReplayMiss(identity.prompt, difference, recorded)


def identity_of(settings: LLMEndpointSettings, request: LLMRequest[T]) -> RequestIdentity:
    """Return the identity of a request: what is sent, and the key that its reply is stored under."""
    parameters = SamplingParameters(
        settings.temperature, settings.top_p, settings.max_tokens, settings.seed, settings.extra
    )
    return RequestIdentity(
        request.prompt,
        settings.model,
        parameters,
        strict_schema(request.schema),
        request.messages,
        request.documents,
    )
