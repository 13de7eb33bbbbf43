"""One short call to an LLM endpoint that shows what works and what does not, for `embedtune doctor`."""

import time
from dataclasses import dataclass
from typing import Literal

import openai
from pydantic import BaseModel, ConfigDict

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.errors import printable
from embedtune.llm.schema import Message, Problem, read_as, strict_schema
from embedtune.llm.wire import (
    Completion,
    Dialect,
    better_dialect,
    checked_key,
    configured_url,
    read_completion,
    request_body,
    words_of,
)

MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Reply in JSON: describe the sea in one field, in about fifty words."},
)


class _Proof(BaseModel):
    """A reply that only an enforced schema can produce: the prompt does not mention the word."""

    model_config = ConfigDict(extra="forbid")
    word: Literal["zirconium-310"]
    sea: str


@dataclass(frozen=True)
class LLMEndpointReport:
    """The capabilities of an LLM endpoint. None means unknown, because an earlier check failed.

    Attributes:
        reachable: A server answered.
        key_ok: The server accepts the API key.
        model_known: The server knows the model.
        json_schema: The server enforces a JSON schema. If not, the schema goes into the prompt, and more replies
            need a repair.
        latency_s: Seconds that the call took.
        tokens_per_s: Completion tokens per second of a single call.
        problem: What is wrong, in the words of the LLM endpoint.
    """

    reachable: bool
    key_ok: bool | None = None
    model_known: bool | None = None
    json_schema: bool | None = None
    latency_s: float | None = None
    tokens_per_s: float | None = None
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether a run can use it."""
        return bool(self.reachable and self.key_ok and self.model_known and self.latency_s is not None)


def probe_llm_endpoint(settings: LLMEndpointSettings, api_key: str | None) -> LLMEndpointReport:
    """Make one short call, repeated once or twice if the LLM endpoint needs another form of request.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or the API key is not valid.
    """
    url, key = configured_url(settings), checked_key(settings, api_key)
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=settings.timeout_s)
    with client:
        try:
            return _measured(client, settings, Dialect())
        except openai.APIStatusError as error:
            return _refused(error.status_code, _clean(words_of(error), key))
        except openai.APIConnectionError as error:
            return LLMEndpointReport(False, problem=_clean(f"{error} {error.__cause__ or ''}", key))
        except ValueError as error:  # not JSON, or not a completion
            return LLMEndpointReport(True, problem=_clean(str(error), key))


def _measured(client: openai.OpenAI, settings: LLMEndpointSettings, dialect: Dialect) -> LLMEndpointReport:
    body = request_body(settings, MESSAGES, strict_schema(_Proof), dialect)
    started = time.monotonic()
    try:
        reply = client.chat.completions.create(**body)
    except openai.APIStatusError as error:
        better = better_dialect(dialect, error.status_code, words_of(error))
        if better is None:
            raise
        return _measured(client, settings, better)
    seconds = time.monotonic() - started
    completion = read_completion(reply)
    return LLMEndpointReport(
        reachable=True,
        key_ok=True,
        model_known=True,
        json_schema=dialect.json_schema and _enforced(completion),
        latency_s=seconds,
        tokens_per_s=completion.completion_tokens / seconds if completion.counted else None,
    )


def _enforced(completion: Completion) -> bool:
    return not isinstance(read_as(_Proof, completion.text), Problem)


def _refused(status: int, words: str) -> LLMEndpointReport:
    problem = f"HTTP {status}: {words}"
    if status in (401, 402, 403):
        return LLMEndpointReport(True, key_ok=False, problem=problem)
    if status == 404:
        return LLMEndpointReport(True, key_ok=True, model_known=False, problem=problem)
    return LLMEndpointReport(True, problem=problem)


def _clean(text: str, key: str) -> str:
    return printable(text.replace(key, "***"))
