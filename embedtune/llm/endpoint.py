"""One OpenAI-compatible endpoint: a request is sent until it is answered, refused for good, or out of attempts."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import openai

from embedtune.core.config.generate import EndpointSettings
from embedtune.core.errors import EndpointError
from embedtune.llm.errors import WAYS_OUT, ItemError, printable
from embedtune.llm.pacing import AdaptiveLimit, Pacing, parse_retry_after, retry_delay
from embedtune.llm.schema import Message
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

# A refusal of one of these concerns every request: going on would only repeat it.
FATAL = {
    401: ("does not accept the API key", "set the variable {key_env} to a valid key (generate.llm.api_key_env)"),
    402: ("wants to be paid", "settle the account of this key and run again"),
    403: ("denies access", "check what the key in {key_env} may use"),
    404: ("does not know the model, or the address", "check generate.llm.model and generate.llm.base_url (…/v1)"),
}
RETRIED = {408, 409, 429}
CONGESTED = {429, 503}
CONNECTION = "connection"


@dataclass(frozen=True)
class Failure:
    """Why one attempt gave no answer.

    Attributes:
        kind: Short reason.
        detail: The endpoint's words, fit to be shown.
        again: Whether another attempt may help.
        congested: Whether the endpoint has more to do than it can.
        retry_after_s: How long the endpoint asks to wait.
        status: HTTP status, if a server answered.
    """

    kind: str
    detail: str
    again: bool
    congested: bool = False
    retry_after_s: float | None = None
    status: int | None = None


class ChatEndpoint:
    """Sends chats and gives back completions. Belongs to one event loop.

    Args:
        settings: Address, model, sampling, limits.
        api_key: The key, or None for servers that want none.
        pacing: Waits between attempts.

    Raises:
        EndpointError: No endpoint is configured, or the key cannot be one.
    """

    def __init__(self, settings: EndpointSettings, api_key: str | None, pacing: Pacing) -> None:
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
        """How many requests may be under way now."""
        return self._limit.limit

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def complete(self, prompt: str, messages: Sequence[Message], schema: Mapping[str, Any]) -> Completion:
        """Send a chat until it is answered.

        Args:
            prompt: Name of the prompt, for errors.
            messages: The chat.
            schema: JSON schema that the reply shall have.

        Raises:
            ItemError: The endpoint refuses this request, or all attempts failed.
            EndpointError: The endpoint cannot be used at all.
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
        self, messages: Sequence[Message], schema: Mapping[str, Any], dialect: Dialect
    ) -> Completion | Failure:
        async with self._limit.slot() as era:
            try:
                # The client's own timeout is between two bytes: a trickle would never end.
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
                log.debug("congested (%s): %d requests at once", outcome.kind, self._limit.limit)
            return outcome

    def _read(self, reply: object) -> Completion | Failure:
        try:
            completion = read_completion(reply)
        except ValueError as error:
            return Failure("not a completion", self._clean(str(error)), again=True)
        if not completion.counted and self._settings.price_in + self._settings.price_out > 0:
            raise EndpointError(
                f"{shown_url(self._settings)} does not report tokens, so the cost cannot be counted",
                fix="set price_in and price_out of this endpoint to 0 to go on without counting it",
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
        """Tell whether the failure taught how to ask this endpoint; it is said once, whoever learns it first."""
        better = better_dialect(dialect, failure.status, failure.detail)
        if better is not None and self._dialect == dialect:
            self._dialect = better
            url = shown_url(self._settings)
            log.warning("%s rejects this form of request (%s): from now on %s", url, failure.detail, better)
        return better is not None

    async def _wait(self, attempt: int, failure: Failure) -> None:
        asked = failure.retry_after_s
        if asked is not None and asked > self._pacing.longest_s:
            raise self._unusable(
                f"asks to wait for {asked:.0f} s", failure.detail, "run again later: every reply so far is kept"
            )
        delay = retry_delay(attempt, asked, self._pacing)
        log.debug("%s: %s; again in %.1f s", failure.kind, failure.detail, delay)
        await asyncio.sleep(delay)

    def _given_up(self, prompt: str, failure: Failure, attempts: int) -> ItemError | EndpointError:
        if failure.kind == CONNECTION and not self._answered:
            fix = f"start the server, correct the address, or choose another way: {WAYS_OUT}"
            return self._unusable("cannot be reached", failure.detail, fix)
        detail = failure.detail if attempts == 1 else f"{failure.detail} ({attempts} attempts)"
        return ItemError(prompt, failure.kind, detail)

    def _unusable(self, what: str, detail: str, fix: str) -> EndpointError:
        return EndpointError(
            f"the LLM endpoint {shown_url(self._settings)} {what}",
            got=f"{detail} (model {self._settings.model})",
            fix=fix,
        )

    def _clean(self, text: str) -> str:
        """Make foreign text fit to be shown: some servers repeat the key in their errors."""
        return printable(text.replace(self._key, "***"))
