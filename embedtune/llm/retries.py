"""One OpenAI-compatible LLM endpoint; sends a request until it is answered, rejected, or out of attempts."""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import openai

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.budget import Budget
from embedtune.llm.dialect import Dialect, better_dialect, request_body
from embedtune.llm.errors import WAYS_OUT, ItemError, printable
from embedtune.llm.failures import (
    CONNECTION,
    FATAL,
    NO_PROVIDER,
    NO_QUOTA,
    TIMEOUT,
    Failure,
    cost_of_error,
    failure_of,
    refusal_in,
)
from embedtune.llm.learned import Learned
from embedtune.llm.outage import Outage
from embedtune.llm.pacing import Pacing, retry_delay
from embedtune.llm.prices import most_usd, usd
from embedtune.llm.refusals import Refusal, is_unrouted
from embedtune.llm.schema import JsonSchema, Message
from embedtune.llm.structure import MISHAPS, StructureRecord
from embedtune.llm.traffic import Pressure, Traffic
from embedtune.llm.wire import (
    Completion,
    checked_key,
    connection,
    read_completion,
    request_headers,
    shown_url,
    unusable,
)

log = logging.getLogger(__name__)

# So many refusals of access in a row, without a completion between them, concern the key and not the passages: few
# if nothing has been answered yet.
DENIED_AT_FIRST = 5
DENIED_LATER = 20
# Seconds by which the clocks of processes that share a budget may differ.
MARGIN_S = 60.0


class LLMEndpoint:
    """Sends chats and returns completions. Belongs to one event loop.

    Args:
        settings: URL, model, sampling parameters, limits.
        api_key: The API key, or None for servers that need none.
        budget: Ceiling on the cost; several endpoints may share it.
        pacing: Waits between attempts.
        section: Section of the configuration that the settings are from, for error messages.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or the API key is not valid.
    """

    def __init__(
        self, settings: LLMEndpointSettings, api_key: str | None, budget: Budget, pacing: Pacing, section: str
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._section = section
        self._pacing = pacing
        self._key = checked_key(settings, api_key)
        self._client = connection(settings, self._key)
        self._pressure = Pressure(settings, section)
        self.learned = Learned()  # what is known about it; others may share it
        self._structures = StructureRecord()
        self._works = False
        self._denied = 0
        self._outage = Outage(settings)
        self._answerable: tuple[Sequence[Message], JsonSchema] | None = None  # the last chat that was answered

    @property
    def limit(self) -> int:
        """Number of requests that may be in flight now."""
        return self._pressure.limit.limit

    @property
    def traffic(self) -> Traffic:
        """Counts of this run."""
        return self._pressure.traffic

    @property
    def dialect(self) -> Dialect:
        """The form of request that the LLM endpoint accepts, as far as it is known."""
        return self.learned.dialect(self._settings)

    @property
    def works(self) -> bool:
        """Whether it has answered, in this run or, as the cache knows, in an earlier one."""
        return self._works

    def worked_before(self) -> None:
        """Take notice of a reply from an earlier run: the LLM endpoint, the key and the model are right."""
        self._works = True

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def complete(
        self, prompt: str, messages: Sequence[Message], schema: JsonSchema, *, show_schema: bool = False
    ) -> Completion:
        """Send a chat until it is answered.

        Args:
            prompt: Name of the prompt, for error messages.
            messages: The chat.
            schema: JSON schema that the reply must satisfy.
            show_schema: Whether to put the schema into the prompt in any case.

        Raises:
            ItemError: The LLM endpoint rejects this request, or all attempts failed.
            LLMEndpointError: The LLM endpoint cannot be used at all.
            GateError: The budget does not allow the call.
        """
        attempt, refused, failed_first = 0, 0, None
        while True:
            dialect = self.dialect
            sent = replace(dialect, schema_in_prompt=True) if show_schema else dialect
            # The model never writes this reply as the server wants it: without a structure, it is read here.
            sent = replace(sent, structure="text") if refused >= MISHAPS else sent
            outcome = await self._attempt(messages, schema, sent)
            if isinstance(outcome, Completion):
                return outcome
            refused += outcome.miswritten
            if self._has_learned(outcome, dialect):
                continue
            failed_first = failed_first or time.monotonic()
            more = attempt < self._settings.retries or await self._is_out(outcome, failed_first)
            if not outcome.again or not more:
                raise self._given_up(prompt, outcome, attempt + 1)
            self._pressure.retried += 1
            await self._wait(attempt, outcome)
            attempt += 1

    def note_reply(self, *, valid: bool) -> None:
        """Take notice of whether a reply to a request without the schema in its prompt satisfied the schema.

        A server that ignores the schema it is sent gets it in the prompt from then on.
        """
        better = self._structures.after_reply(self.dialect, valid=valid)
        if better is not None:
            self.learned.learn(self._settings, better, "does not keep to the JSON schema")

    async def _is_out(self, failure: Failure, failed_first: float) -> bool:
        """Return whether the LLM endpoint is out; to know, the last chat that was answered may be sent again."""
        if not failure.again:
            return False
        if self._answerable is not None and self._outage.is_suspected(failure, failed_first):
            await self._attempt(*self._answerable, self.dialect)
        return self._outage.is_out(failure, failed_first)

    async def _attempt(
        self, messages: Sequence[Message], schema: JsonSchema, dialect: Dialect
    ) -> Completion | Failure:
        body = request_body(self._settings, messages, schema, dialect)
        headers = request_headers(self._settings, self._key)
        most = most_usd(self._settings, messages, schema, dialect)
        async with (
            self._pressure.limit.permit() as era,
            self._budget.reserve(most, self._pressure.time_limit_s + MARGIN_S) as reservation,
        ):
            limit_s = self._pressure.time_limit_s
            send = self._client.chat.completions.create
            try:
                # The client's own timeout applies between two bytes: a trickle of bytes would never end.
                async with asyncio.timeout(limit_s):
                    reply = await send(**body, extra_headers=headers, timeout=limit_s)
                outcome = self._read(reply, dialect)
                if isinstance(outcome, Completion):
                    tokens = outcome.prompt_tokens, outcome.completion_tokens
                    reservation.settle(usd(self._settings, *tokens))
                elif outcome.refusal is not None:
                    reservation.settle(0.0)
            except (TimeoutError, openai.APIError, json.JSONDecodeError, UnicodeDecodeError) as error:
                if (cost := cost_of_error(error, most)) is not None:
                    reservation.settle(cost)
                outcome = self._failure(error, limit_s, dialect)
            if isinstance(outcome, Completion):
                self._structures.completed(dialect)
                self._answerable = messages, schema
                self._answered()
            elif outcome.congested:
                silent, timed_out = self._outage.silent, outcome.kind == TIMEOUT
                self._pressure.congested(era, limit_s, timed_out=timed_out, silent=silent)
                log.debug("LLM endpoint congested (%s): now %d requests at once", outcome.kind, self.limit)
            return outcome

    def _answered(self) -> None:
        self._works, self._denied = True, 0
        self._outage.answered()
        self._pressure.limit.succeeded()

    def _read(self, reply: object, dialect: Dialect) -> Completion | Failure:
        try:
            completion = read_completion(reply)
        except ValueError as error:
            return Failure("not a completion", self._clean(str(error)), again=True)
        if isinstance(completion, Refusal):
            return self._judged(failure_of(completion, self._clean(completion.words)), dialect)
        if not completion.counted and (self._settings.price_in or self._settings.price_out):
            raise LLMEndpointError(
                f"the LLM endpoint {shown_url(self._settings)} does not report tokens: the cost is unknown",
                fix="set price_in and price_out of this LLM endpoint to 0 to continue without a cost",
            )
        return completion

    def _failure(self, error: Exception, limit_s: float, dialect: Dialect) -> Failure:
        if isinstance(error, openai.APIStatusError):
            refusal = refusal_in(error)
            after = error.response.headers.get("retry-after")
            return self._judged(failure_of(refusal, self._clean(refusal.words), after), dialect)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return Failure(TIMEOUT, f"no reply within {limit_s:g} s", again=True, congested=True)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            detail = self._clean(f"{type(cause).__name__}: {cause}")
            return Failure(CONNECTION, detail, again=True)
        return Failure("not a completion", self._clean(str(error)), again=True)

    def _judged(self, failure: Failure, dialect: Dialect) -> Failure:
        """Return the failure of one request; raise if it concerns all requests."""
        refusal = failure.refusal
        if refusal is None:
            return failure
        if NO_QUOTA in refusal.code:
            what = "has no quota left for this key"
            raise unusable(self._settings, what, failure.detail, FATAL[402][1]) from None
        if refusal.status not in FATAL or failure.kind != f"HTTP {refusal.status}":
            return failure
        if refusal.status == 403:  # of this passage, if others are answered
            self._denied += 1
            if self._denied < (DENIED_LATER if self._works else DENIED_AT_FIRST):
                return failure
        if refusal.status == 404 and better_dialect(dialect, self._settings, refusal) is not None:
            return failure
        if refusal.status == 404 and not self._outage.silent:
            return replace(failure, again=True)  # a server that starts again does not know its model yet
        what, fix = NO_PROVIDER if is_unrouted(refusal) else FATAL[refusal.status]
        names = {"key_env": self._settings.api_key_env, "section": self._section}
        raise unusable(self._settings, what, failure.detail, fix.format(**names)) from None

    def _has_learned(self, failure: Failure, dialect: Dialect) -> bool:
        """Return whether the failure calls for another dialect; the first request that finds it learns it."""
        if failure.refusal is None:
            return False
        if failure.miswritten:
            better, what = self._after_refused_reply(dialect), "gets no reply of this form from its model"
        else:
            better = better_dialect(dialect, self._settings, failure.refusal)
            what = "rejects this form of request"
        if better is not None and self.dialect == dialect:
            self.learned.learn(self._settings, better, f"{what} ({failure.detail})")
        return better is not None

    def _after_refused_reply(self, dialect: Dialect) -> Dialect | None:
        """Return the dialect to go on with, if it is another one: the requests of a form fail together."""
        if self.dialect.structure != dialect.structure:
            return self.dialect
        return self._structures.after_refused_reply(dialect)

    async def _wait(self, attempt: int, failure: Failure) -> None:
        asked = failure.retry_after_s
        if asked is not None and asked > self._pacing.longest_s:
            raise unusable(
                self._settings,
                f"asks to wait for {asked:.0f} s",
                failure.detail,
                "run again later: all replies so far are kept",
            )
        delay = retry_delay(attempt, asked, self._pacing)
        log.debug("%s: %s; next attempt in %.1f s", failure.kind, failure.detail, delay)
        await asyncio.sleep(delay)

    def _given_up(self, prompt: str, failure: Failure, attempts: int) -> ItemError | LLMEndpointError:
        if failure.kind == CONNECTION and self._outage.silent:
            fix = f"start the server, correct the URL, or choose another way: {WAYS_OUT}"
            return unusable(self._settings, "cannot be reached", failure.detail, fix)
        detail = failure.detail if attempts == 1 else f"{failure.detail} ({attempts} attempts)"
        return ItemError(prompt, failure.kind, detail, transient=failure.again)

    def _clean(self, text: str) -> str:
        """Make a server's text safe to display: some servers repeat the API key in their errors."""
        return printable(text.replace(self._key, "***"))
