"""One OpenAI-compatible LLM endpoint; sends a request until it is answered, rejected, or out of attempts."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import openai

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.errors import WAYS_OUT, ItemError, printable
from embedtune.llm.pacing import AdaptiveLimit, Pacing, parse_retry_after, retry_delay
from embedtune.llm.schema import JsonSchema, Message
from embedtune.llm.wire import (
    Completion,
    Dialect,
    better_dialect,
    checked_key,
    configured_url,
    read_completion,
    request_body,
    shown_url,
    words_of,
)

log = logging.getLogger(__name__)

# These statuses concern every request: continuing would only repeat the error.
FATAL = {
    401: ("does not accept the API key", "set the variable {key_env} to a valid key (generate.llm.api_key_env)"),
    402: ("requires payment", "settle the account of this key and run again"),
    403: ("denies access", "check what the key in {key_env} gives access to"),
    404: ("does not know the model or the URL", "check generate.llm.model and generate.llm.base_url (…/v1)"),
}
RETRIED = {408, 409, 429}
CONGESTED = {429, 503}
CONNECTION = "connection"


@dataclass(frozen=True)
class Failure:
    """The reason why one attempt returned no completion.

    Attributes:
        kind: Short reason.
        detail: The LLM endpoint's own words, safe to display.
        again: Whether another attempt may help.
        congested: Whether the LLM endpoint is overloaded.
        retry_after_s: Wait that the LLM endpoint asks for, if any.
        status: HTTP status, if a server answered.
    """

    kind: str
    detail: str
    again: bool
    congested: bool = False
    retry_after_s: float | None = None
    status: int | None = None


class LLMEndpoint:
    """Sends chats and returns completions. Belongs to one event loop.

    Args:
        settings: URL, model, sampling parameters, limits.
        api_key: The API key, or None for servers that need none.
        pacing: Waits between attempts.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or the API key is not valid.
    """

    def __init__(self, settings: LLMEndpointSettings, api_key: str | None, pacing: Pacing) -> None:
        self._settings = settings
        self._pacing = pacing
        self._key = checked_key(settings, api_key)
        self._client = openai.AsyncOpenAI(
            base_url=configured_url(settings), api_key=self._key, max_retries=0, timeout=settings.timeout_s
        )
        self._limit = AdaptiveLimit(settings.concurrency)
        self._dialect = Dialect()
        self._answered = False

    @property
    def limit(self) -> int:
        """Number of requests that may be in flight now."""
        return self._limit.limit

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def complete(self, prompt: str, messages: Sequence[Message], schema: JsonSchema) -> Completion:
        """Send a chat until it is answered.

        Args:
            prompt: Name of the prompt, for error messages.
            messages: The chat.
            schema: JSON schema that the reply must satisfy.

        Raises:
            ItemError: The LLM endpoint rejects this request, or all attempts failed.
            LLMEndpointError: The LLM endpoint cannot be used at all.
        """
        attempt = 0
        while True:
            dialect = self._dialect
            outcome = await self._attempt(messages, schema, dialect)
            if isinstance(outcome, Completion):
                return outcome
            if self._learned(outcome, dialect):
                continue
            if not outcome.again or attempt >= self._settings.retries:
                raise self._given_up(prompt, outcome, attempt + 1)
            await self._wait(attempt, outcome)
            attempt += 1

    async def _attempt(
        self, messages: Sequence[Message], schema: JsonSchema, dialect: Dialect
    ) -> Completion | Failure:
        async with self._limit.permit() as era:
            try:
                # The client's own timeout applies between two bytes: a trickle of bytes would never end.
                async with asyncio.timeout(self._settings.timeout_s):
                    reply = await self._client.chat.completions.create(
                        **request_body(self._settings, messages, schema, dialect)
                    )
                outcome = self._read(reply)
            except (TimeoutError, openai.APIError, json.JSONDecodeError, UnicodeDecodeError) as error:
                outcome = self._failure(error)
            if isinstance(outcome, Completion):
                self._answered = True
                self._limit.succeeded()
            elif outcome.congested:
                self._limit.congested(era)
                log.debug(
                    "LLM endpoint congested (%s): now sending %d requests at once", outcome.kind, self._limit.limit
                )
            return outcome

    def _read(self, reply: object) -> Completion | Failure:
        try:
            completion = read_completion(reply)
        except ValueError as error:
            return Failure("not a completion", self._clean(str(error)), again=True)
        if not completion.counted and self._settings.price_in + self._settings.price_out > 0:
            raise LLMEndpointError(
                f"the LLM endpoint {shown_url(self._settings)} does not report tokens: the cost is unknown",
                fix="set price_in and price_out of this LLM endpoint to 0 to continue without a cost",
            )
        return completion

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, openai.APIStatusError):
            return self._status_failure(error)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            detail = f"no reply within {self._settings.timeout_s:g} s"
            return Failure("timeout", detail, again=True, congested=True)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            detail = self._clean(f"{type(cause).__name__}: {cause}")
            return Failure(CONNECTION, detail, again=True)
        return Failure("not a completion", self._clean(str(error)), again=True)

    def _status_failure(self, error: openai.APIStatusError) -> Failure:
        status = error.status_code
        detail = self._clean(words_of(error))
        if status in FATAL:
            what, fix = FATAL[status]
            raise self._unusable(what, detail, fix.format(key_env=self._settings.api_key_env)) from None
        if error.code == "insufficient_quota":
            raise self._unusable("has no quota left for this key", detail, FATAL[402][1]) from None
        return Failure(
            kind=f"HTTP {status}",
            detail=detail,
            again=status in RETRIED or status >= 500,
            congested=status in CONGESTED,
            status=status,
            retry_after_s=parse_retry_after(error.response.headers.get("retry-after"), datetime.now(UTC)),
        )

    def _learned(self, failure: Failure, dialect: Dialect) -> bool:
        """Return whether the failure calls for another dialect; the first request to learn it logs it, once."""
        better = better_dialect(dialect, failure.status, failure.detail)
        if better is not None and self._dialect == dialect:
            self._dialect = better
            url, why = shown_url(self._settings), failure.detail
            log.warning("the LLM endpoint %s rejects this form of request (%s); from now on: %s", url, why, better)
        return better is not None

    async def _wait(self, attempt: int, failure: Failure) -> None:
        asked = failure.retry_after_s
        if asked is not None and asked > self._pacing.longest_s:
            raise self._unusable(
                f"asks to wait for {asked:.0f} s", failure.detail, "run again later: all replies so far are kept"
            )
        delay = retry_delay(attempt, asked, self._pacing)
        log.debug("%s: %s; next attempt in %.1f s", failure.kind, failure.detail, delay)
        await asyncio.sleep(delay)

    def _given_up(self, prompt: str, failure: Failure, attempts: int) -> ItemError | LLMEndpointError:
        if failure.kind == CONNECTION and not self._answered:
            fix = f"start the server, correct the URL, or do one of the following: {WAYS_OUT}"
            return self._unusable("cannot be reached", failure.detail, fix)
        detail = failure.detail if attempts == 1 else f"{failure.detail} ({attempts} attempts)"
        return ItemError(prompt, failure.kind, detail)

    def _unusable(self, what: str, detail: str, fix: str) -> LLMEndpointError:
        return LLMEndpointError(
            f"the LLM endpoint {shown_url(self._settings)} {what}",
            got=f"{detail} (model {self._settings.model})",
            fix=fix,
        )

    def _clean(self, text: str) -> str:
        """Make a server's text safe to display: some servers repeat the API key in their errors."""
        return printable(text.replace(self._key, "***"))
