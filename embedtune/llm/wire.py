"""The requests that are sent to an OpenAI-compatible LLM endpoint, and the responses that it returns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from openai import APIStatusError
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.errors import WAYS_OUT
from embedtune.llm.schema import JsonSchema, Message, with_schema_in_prompt


@dataclass(frozen=True)
class Completion:
    """A response, with the tokens that the LLM endpoint counted (`counted`: whether it did)."""

    text: str
    finish_reason: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    counted: bool


@dataclass(frozen=True)
class Dialect:
    """The form of request that an LLM endpoint accepts.

    Attributes:
        json_schema: Whether the server enforces the schema. If not, it is asked for any JSON object, and the
            schema is in the prompt.
        token_limit: Name of the parameter that limits a reply; OpenAI's newer models expect
            `max_completion_tokens`.
    """

    json_schema: bool = True
    token_limit: str = "max_tokens"  # noqa: S105 - no password

    def __str__(self) -> str:
        form = "json_schema" if self.json_schema else "json_object and the schema in the prompt"
        return f"{form}, {self.token_limit}"


# How servers reject these parameters: OpenAI, Azure, vLLM, llama.cpp, Ollama, LM Studio.
NO_JSON_SCHEMA = re.compile(r"response_?format|json_?schema|grammar|guided|structured", re.IGNORECASE)
NO_MAX_TOKENS = re.compile(r"max_completion_tokens")


def better_dialect(dialect: Dialect, status: int | None, words: str) -> Dialect | None:
    """Return the dialect that a rejected request calls for; None if the rejection has another cause."""
    if status not in (400, 422):
        return None
    if dialect.token_limit == "max_tokens" and NO_MAX_TOKENS.search(words):  # noqa: S105 - no password
        return replace(dialect, token_limit="max_completion_tokens")  # noqa: S106 - no password
    if dialect.json_schema and NO_JSON_SCHEMA.search(words):
        return replace(dialect, json_schema=False)
    return None


class _Reply(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Reply
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)


class _Body(BaseModel):
    """The part of a chat completion that is read; the openai package does not validate it."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


def read_completion(reply: object) -> Completion:
    """Read a response with status 200, which may be anything.

    Raises:
        ValueError: It is not a chat completion.
    """
    if not isinstance(reply, ChatCompletion):
        raise ValueError(f"not a chat completion: {str(reply)[:100]}")
    body = _Body.model_validate(reply.model_dump(warnings=False))
    choice = body.choices[0]
    usage = body.usage or _Tokens()
    return Completion(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        refusal=choice.message.refusal,
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        counted=None not in (usage.prompt_tokens, usage.completion_tokens),
    )


def words_of(error: APIStatusError) -> str:
    """Return the LLM endpoint's own words about a refusal."""
    words = error.body.get("message") if isinstance(error.body, Mapping) else None
    return words if isinstance(words, str) else error.message


def request_body(
    settings: LLMEndpointSettings, messages: Sequence[Message], schema: JsonSchema, dialect: Dialect
) -> dict[str, Any]:  # OpenAI's wire format
    """Return the body of a chat request in the dialect of an LLM endpoint."""
    body: dict[str, Any] = {  # OpenAI's wire format
        "model": settings.model,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        dialect.token_limit: settings.max_tokens,
    }
    if settings.seed is not None:
        body["seed"] = settings.seed
    if dialect.json_schema:
        described = {"name": "reply", "schema": schema, "strict": True}
        response_format = {"type": "json_schema", "json_schema": described}
        return {**body, "messages": list(messages), "response_format": response_format}
    messages = with_schema_in_prompt(messages, schema)
    return {**body, "messages": messages, "response_format": {"type": "json_object"}}


def configured_url(settings: LLMEndpointSettings) -> str:
    """Return the base URL of the LLM endpoint.

    Raises:
        LLMEndpointError: The base URL or the model is not set, or the base URL is not valid.
    """
    if settings.base_url is None or not settings.model:
        missing = "base_url" if settings.base_url is None else "model"
        raise LLMEndpointError(f"no LLM endpoint is configured: {missing} is not set", fix=WAYS_OUT)
    if not _is_url(settings.base_url):
        raise LLMEndpointError(
            "the LLM base_url is not a valid URL",
            got=shown_url(settings),
            expected="http://… or https://…, usually ending in /v1",
        )
    return settings.base_url


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a malformed host or port
        return False


def checked_key(settings: LLMEndpointSettings, api_key: str | None) -> str:
    """Return the API key to send; the openai package requires one even if the server does not.

    Raises:
        LLMEndpointError: The key contains characters that cannot be sent. An HTTP library would show the key in
            its error message.
    """
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise LLMEndpointError(
            f"the API key in {settings.api_key_env} contains characters that are not allowed in a key"
        )
    return key or "no-key"


def shown_url(settings: LLMEndpointSettings) -> str:
    """Return the base URL without a user name or password in it."""
    return re.sub(r"[^/\s]*@", "", settings.base_url or "")
