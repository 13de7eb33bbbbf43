"""What is sent to an OpenAI-compatible endpoint, and what comes back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from openai import APIStatusError
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field

from embedtune.core.config.generate import EndpointSettings
from embedtune.core.errors import EndpointError
from embedtune.llm.errors import WAYS_OUT
from embedtune.llm.schema import Message, with_schema_in_prompt


@dataclass(frozen=True)
class Completion:
    """An answer, with the tokens that the endpoint counted (`counted`: whether it did)."""

    text: str
    finish_reason: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    counted: bool


@dataclass(frozen=True)
class Dialect:
    """How an endpoint wants to be asked.

    Attributes:
        json_schema: The schema is enforced by the server; else the server is asked for any JSON object and the
            schema stands in the prompt.
        token_limit: Name of the parameter that bounds a reply; OpenAI's newer models want `max_completion_tokens`.
    """

    json_schema: bool = True
    token_limit: str = "max_tokens"  # noqa: S105 - no password

    def __str__(self) -> str:
        form = "json_schema" if self.json_schema else "json_object and the schema in the prompt"
        return f"{form}, {self.token_limit}"


# How servers say that they do not take these: OpenAI, Azure, vLLM, llama.cpp, Ollama, LM Studio.
NO_JSON_SCHEMA = re.compile(r"response_?format|json_?schema|grammar|guided|structured", re.IGNORECASE)
NO_MAX_TOKENS = re.compile(r"max_completion_tokens")


def better_dialect(dialect: Dialect, status: int | None, words: str) -> Dialect | None:
    """Return the dialect that a rejection asks for; None if it is about something else."""
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
    """Read what came with status 200: it may be anything.

    Raises:
        ValueError: It is no chat completion.
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
    """Return the endpoint's own words about a refusal."""
    words = error.body.get("message") if isinstance(error.body, Mapping) else None
    return words if isinstance(words, str) else error.message


def request_body(
    settings: EndpointSettings, messages: Sequence[Message], schema: Mapping[str, Any], dialect: Dialect
) -> dict[str, Any]:
    """Return the body of a chat request in an endpoint's dialect."""
    body: dict[str, Any] = {
        "model": settings.model,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        dialect.token_limit: settings.max_tokens,
    }
    if settings.seed is not None:
        body["seed"] = settings.seed
    if dialect.json_schema:
        described = {"name": "reply", "schema": schema, "strict": True}
        response_format: dict[str, Any] = {"type": "json_schema", "json_schema": described}
        return {**body, "messages": list(messages), "response_format": response_format}
    messages = with_schema_in_prompt(messages, schema)
    return {**body, "messages": messages, "response_format": {"type": "json_object"}}


def configured_url(settings: EndpointSettings) -> str:
    """Return the address of the endpoint.

    Raises:
        EndpointError: Address or model is missing, or the address is none.
    """
    if settings.base_url is None or not settings.model:
        missing = "base_url" if settings.base_url is None else "model"
        raise EndpointError(f"no LLM endpoint is configured: {missing} is not set", fix=WAYS_OUT)
    if not _is_address(settings.base_url):
        raise EndpointError(
            "the address of the LLM endpoint is not one",
            got=shown_url(settings),
            expected="http://… or https://…, usually ending in /v1",
        )
    return settings.base_url


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a malformed host or port
        return False


def checked_key(settings: EndpointSettings, api_key: str | None) -> str:
    """Return what to send as a key; the openai package wants one even where the server does not.

    Raises:
        EndpointError: The key holds characters that cannot be sent; an HTTP library would show it in its error.
    """
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise EndpointError(f"the API key in {settings.api_key_env} holds characters that no key has")
    return key or "no-key"


def shown_url(settings: EndpointSettings) -> str:
    """Return the address without a user name or password in it."""
    return re.sub(r"[^/\s]*@", "", settings.base_url or "")
