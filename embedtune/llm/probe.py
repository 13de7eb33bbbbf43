"""What `embedtune doctor` asks an LLM endpoint: one short call that shows what works and what does not."""

import time
from dataclasses import dataclass
from typing import Literal

import openai
from pydantic import BaseModel, ConfigDict

from embedtune.core.config.generate import EndpointSettings
from embedtune.llm.errors import printable
from embedtune.llm.schema import Problem, read_as, strict_schema
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

MESSAGES = ({"role": "user", "content": "Reply in JSON: describe the sea in one field, in about fifty words."},)


class _Proof(BaseModel):
    """A reply that only an enforced schema brings about: nothing in the prompt names the word."""

    model_config = ConfigDict(extra="forbid")
    word: Literal["zirconium-310"]
    sea: str


@dataclass(frozen=True)
class EndpointReport:
    """What an endpoint can do; None: not found out, because something before it failed.

    Attributes:
        reachable: A server answered.
        key_ok: It accepts the API key.
        model_known: It knows the model.
        json_schema: It enforces a JSON schema; else the schema goes into the prompt and more replies need repair.
        latency_s: Seconds that the call took.
        tokens_per_s: Completion tokens a second of one call alone.
        problem: What is wrong, in the endpoint's words.
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
        """Whether a run can work with it."""
        return bool(self.reachable and self.key_ok and self.model_known and self.latency_s is not None)


def probe_endpoint(settings: EndpointSettings, api_key: str | None) -> EndpointReport:
    """Make one short call, twice or thrice where the endpoint wants to be asked otherwise.

    Raises:
        EndpointError: No endpoint is configured, or the key cannot be one.
    """
    url, key = configured_url(settings), checked_key(settings, api_key)
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=settings.timeout_s)
    with client:
        try:
            return _measured(client, settings, Dialect())
        except openai.APIStatusError as error:
            return _refused(error.status_code, _clean(words_of(error), key))
        except openai.APIConnectionError as error:
            return EndpointReport(False, problem=_clean(f"{error} {error.__cause__ or ''}", key))
        except ValueError as error:  # not JSON, or not a completion
            return EndpointReport(True, problem=_clean(str(error), key))


def _measured(client: openai.OpenAI, settings: EndpointSettings, dialect: Dialect) -> EndpointReport:
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
    return EndpointReport(
        reachable=True,
        key_ok=True,
        model_known=True,
        json_schema=dialect.json_schema and _enforced(completion),
        latency_s=seconds,
        tokens_per_s=completion.completion_tokens / seconds if completion.counted else None,
    )


def _enforced(completion: Completion) -> bool:
    return not isinstance(read_as(_Proof, completion.text), Problem)


def _refused(status: int, words: str) -> EndpointReport:
    problem = f"HTTP {status}: {words}"
    if status in (401, 402, 403):
        return EndpointReport(True, key_ok=False, problem=problem)
    if status == 404:
        return EndpointReport(True, key_ok=True, model_known=False, problem=problem)
    return EndpointReport(True, problem=problem)


def _clean(text: str, key: str) -> str:
    return printable(text.replace(key, "***"))
