"""The form of request that an LLM endpoint accepts: learned from its refusals, since servers differ."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.refusals import (
    UNROUTED_PARAMETERS,
    Refusal,
    is_miswritten,
    is_moderated,
    is_too_long,
    is_unrouted,
)
from embedtune.llm.schema import JsonSchema, Message, with_schema_in_prompt, without_system_role

Structure = Literal["json_schema", "json_object", "text"]
TokenLimit = Literal["max_tokens", "max_completion_tokens", "none"]
SAMPLING = ("top_p", "temperature", "seed")


@dataclass(frozen=True)
class Dialect:
    """The form of request that an LLM endpoint accepts.

    Attributes:
        structure: What is requested as `response_format`: a schema, any JSON object, or nothing at all.
        schema_in_prompt: Whether the schema is in the prompt although the server is sent it as well: the server
            ignores what it is sent. Without `json_schema`, it always is.
        token_limit: Name of the parameter that limits a reply; OpenAI's newer models expect
            `max_completion_tokens`.
        omitted: Sampling parameters that the server does not accept.
        system_role: Whether the server accepts system messages; if not, they join the first user message.
    """

    structure: Structure = "json_schema"
    schema_in_prompt: bool = False
    token_limit: TokenLimit = "max_tokens"  # noqa: S105 - no password
    omitted: frozenset[str] = frozenset()
    system_role: bool = True

    def __str__(self) -> str:
        names = {"json_schema": "json_schema", "json_object": "json_object", "text": "no response_format"}
        told = self.schema_in_prompt or self.structure != "json_schema"
        parts = [names[self.structure] + (" and the schema in the prompt" if told else "")]
        parts.append("no limit of tokens" if self.token_limit == "none" else self.token_limit)  # noqa: S105
        parts += [f"no {name}" for name in SAMPLING if name in self.omitted]
        parts += [] if self.system_role else ["no system message"]
        return ", ".join(parts)


# How servers refuse: OpenAI, Azure, Claude, Mistral, DeepSeek, Gemini, vLLM, llama.cpp, Ollama, LM Studio.
STRUCTURE = re.compile(
    r"response_?(format|schema|mime)|json_?(schema|object|mode)|\bschema\b|grammar|guided|structured|output_config",
    re.IGNORECASE,
)
NOT_ACCEPTED = re.compile(
    r"support|permit|allow|accept|unknown|unexpected|unrecogni[sz]ed|unavailable|deprecated|extra|forbidden|invalid"
    r"|remove|cannot|can't|must|should|only|not\b|range|less than|greater than|at most|at least",
    re.IGNORECASE,
)
UNKNOWN = re.compile(
    r"unsupported|not (supported|permitted|allowed)|extra|unknown|unrecogni[sz]ed|unexpected|deprecated",
    re.IGNORECASE,
)
BOTH = re.compile(r"\b(both|only one|either|greedy|together|simultaneously)\b", re.IGNORECASE)
SYSTEM_ROLE = re.compile(
    r"system (role|message|prompt|instruction)s?\b.{0,40}\bnot\b|role.{0,30}\bsystem\b", re.IGNORECASE
)
REFUSED = (400, 422)
# Some servers report a schema that they cannot compile as an error of their own.
REFUSED_STRUCTURE = (*REFUSED, 500, 501)


def better_dialect(dialect: Dialect, sent: LLMEndpointSettings, refusal: Refusal) -> Dialect | None:
    """Return the dialect that a refused request calls for; None if the refusal has another cause.

    Args:
        dialect: The dialect of the request.
        sent: The settings of the request: only a parameter that was sent can be left out.
        refusal: What the server said.
    """
    if is_too_long(refusal) or is_moderated(refusal) or is_miswritten(refusal):
        return None  # such errors may name max_tokens or the schema, which is not what is wrong
    if refusal.status in REFUSED:
        better = _without_parameter(dialect, sent, refusal)
        if better is not None:
            return better
        if dialect.system_role and SYSTEM_ROLE.search(refusal.words):
            return replace(dialect, system_role=False)
    if is_unrouted(refusal) and UNROUTED_PARAMETERS.search(refusal.words):
        return simpler_structure(dialect) or _without_sampling(dialect, sent)
    if refusal.status in REFUSED_STRUCTURE and STRUCTURE.search(f"{refusal.parameter} {refusal.words}"):
        return simpler_structure(dialect)
    return None


def _without_parameter(dialect: Dialect, sent: LLMEndpointSettings, refusal: Refusal) -> Dialect | None:
    if dialect.token_limit == "max_tokens" and "max_completion_tokens" in refusal.words:  # noqa: S105
        return replace(dialect, token_limit="max_completion_tokens")  # noqa: S106 - no password
    named = [name for name in SAMPLING if _is_sent(name, dialect, sent) and _is_named(name, refusal)]
    if named and NOT_ACCEPTED.search(refusal.words):
        # top_p is the first: of two that do not go together, the temperature stays.
        several = len(named) > 1 and not BOTH.search(refusal.words)
        return replace(dialect, omitted=dialect.omitted | set(named if several else named[:1]))
    limit = dialect.token_limit
    if limit != "none" and _is_named(limit, refusal) and _is_unknown(refusal):
        other: TokenLimit = "max_completion_tokens" if limit == "max_tokens" else "none"
        return replace(dialect, token_limit=other)
    return None


def _without_sampling(dialect: Dialect, sent: LLMEndpointSettings) -> Dialect | None:
    omitted = dialect.omitted.union(name for name in SAMPLING if _is_sent(name, dialect, sent))
    return replace(dialect, omitted=omitted) if omitted != dialect.omitted else None


def _is_sent(name: str, dialect: Dialect, sent: LLMEndpointSettings) -> bool:
    return name not in dialect.omitted and getattr(sent, name) is not None


def _is_named(name: str, refusal: Refusal) -> bool:
    return refusal.parameter == name or re.search(rf"(?<![a-z_]){name}(?![a-z_])", refusal.words) is not None


def _is_unknown(refusal: Refusal) -> bool:
    """Return whether a parameter as such is refused, not its value."""
    return UNKNOWN.search(refusal.words) is not None


def simpler_structure(dialect: Dialect) -> Dialect | None:
    """Return a dialect that asks the server for less, and has the schema in the prompt; None if there is none."""
    match dialect.structure:
        case "json_schema":
            return replace(dialect, structure="json_object")
        case "json_object":
            return replace(dialect, structure="text")
    return None


def request_body(
    settings: LLMEndpointSettings, messages: Sequence[Message], schema: JsonSchema, dialect: Dialect
) -> dict[str, Any]:  # OpenAI's wire format
    """Return the body of a chat request in the dialect of an LLM endpoint."""
    if dialect.schema_in_prompt or dialect.structure != "json_schema":
        messages = with_schema_in_prompt(messages, schema)
    if not dialect.system_role:
        messages = without_system_role(messages)
    body: dict[str, Any] = {"model": settings.model, "messages": list(messages)}  # OpenAI's wire format
    for name in ("temperature", "top_p", "seed"):
        if _is_sent(name, dialect, settings):
            body[name] = getattr(settings, name)
    if dialect.token_limit != "none" and settings.max_tokens is not None:  # noqa: S105 - no password
        body[dialect.token_limit] = settings.max_tokens
    if dialect.structure == "json_schema":
        described = {"name": "reply", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": described}
    elif dialect.structure == "json_object":
        body["response_format"] = {"type": "json_object"}
    if settings.extra:
        body["extra_body"] = dict(settings.extra)
    return body
