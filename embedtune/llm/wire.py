"""The responses of an OpenAI-compatible LLM endpoint, in the forms of all known servers, and its address."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field, JsonValue, ValidationError

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.errors import WAYS_OUT
from embedtune.llm.refusals import Refusal, error_within
from embedtune.llm.schema import json_part


@dataclass(frozen=True)
class Completion:
    """A response, with the tokens that the LLM endpoint counted (`counted`: whether it did).

    Attributes:
        text: The reply, or JSON that the server put among the thoughts.
        thoughts: What the model thought, if the server reports it separately.
        finish_reason: Why the reply ends, in OpenAI's words.
        refusal: The words with which the model or a filter refused, if it did.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        counted: Whether the server reports tokens.
    """

    text: str
    thoughts: str
    finish_reason: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    counted: bool


class _Reply(BaseModel):
    content: JsonValue = None  # a string; Mistral: a list of thoughts and texts
    refusal: str | None = None
    reasoning_content: JsonValue = None  # DeepSeek, vLLM, llama.cpp
    reasoning: JsonValue = None  # vLLM, OpenRouter, Ollama


class _Choice(BaseModel):
    message: _Reply
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: float | None = Field(default=None, ge=0)
    completion_tokens: float | None = Field(default=None, ge=0)


class _Body(BaseModel):
    """The part of a chat completion that is read; the openai package does not validate it."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


def read_completion(reply: object) -> Completion | Refusal:
    """Read a response with status 200, which may be anything.

    Raises:
        ValueError: It is not a chat completion.
    """
    if not isinstance(reply, ChatCompletion):
        raise ValueError(f"not a chat completion: {str(reply)[:100]}")
    return read_body(reply.model_dump(warnings=False))


def read_body(data: Mapping[str, Any]) -> Completion | Refusal:  # OpenAI's wire format
    """Read the body of a response with status 200.

    Raises:
        ValueError: It is not a chat completion.
    """
    if (error := error_within(data)) is not None:
        return error
    if not data.get("choices") and data.get("prompt_filter_results"):  # Azure
        return Refusal(400, "the prompt was blocked by the content filter", "content_filter")
    try:
        body = _Body.model_validate(data)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"not a chat completion: {where}: {first['msg']}") from invalid
    choice, usage = body.choices[0], body.usage or _Tokens()
    thoughts = _text(choice.message.reasoning_content) or _text(choice.message.reasoning)
    return Completion(
        # vLLM takes the whole reply for a thought if the model does not think.
        text=_text(choice.message.content) or _object_among(thoughts),
        thoughts=thoughts,
        finish_reason=choice.finish_reason or "",
        refusal=choice.message.refusal,
        prompt_tokens=math.ceil(usage.prompt_tokens or 0),
        completion_tokens=math.ceil(usage.completion_tokens or 0),
        counted=None not in (usage.prompt_tokens, usage.completion_tokens),
    )


def _text(content: JsonValue) -> str:
    """Return the text of a message: all of its parts that are text, none that is a thought."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(_text(part) for part in content)
    if isinstance(content, Mapping):
        return _text(content.get("text")) if content.get("type", "text") in ("text", "output_text") else ""
    return ""


def _object_among(thoughts: str) -> str:
    found = json_part(thoughts)
    return found if found.startswith("{") else ""


def connection(settings: LLMEndpointSettings, key: str) -> openai.AsyncOpenAI:
    """Return the connection to an LLM endpoint, with its query parameters.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or its URL is not valid.
    """
    return openai.AsyncOpenAI(
        base_url=configured_url(settings),
        api_key=key,
        max_retries=0,
        timeout=settings.timeout_s,
        default_query=dict(settings.query),
    )


def request_headers(settings: LLMEndpointSettings, key: str) -> dict[str, Any]:
    """Return the headers of each request. Any: the openai package leaves out a header that is `Omit()`."""
    if settings.api_key_header is None:
        return dict(settings.headers)
    return {**settings.headers, settings.api_key_header: key, "Authorization": openai.Omit()}


def require_configured(settings: LLMEndpointSettings) -> None:
    """Refuse settings without an LLM endpoint; for files of batches, the name of the model is enough.

    Raises:
        LLMEndpointError: The base URL or the model is not set, or the base URL is not valid.
    """
    if settings.batch != "files" or not settings.model:
        configured_url(settings)


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


def unusable(settings: LLMEndpointSettings, what: str, detail: str, fix: str) -> LLMEndpointError:
    """Return the error that an LLM endpoint cannot be used at all.

    Args:
        settings: The LLM endpoint.
        what: What it does, such as "cannot be reached".
        detail: Its own words, safe to display.
        fix: What to do.
    """
    return LLMEndpointError(
        f"the LLM endpoint {shown_url(settings)} {what}", got=f"{detail} (model {settings.model})", fix=fix
    )
