"""What an LLM endpoint says when it does not answer: its words, found in every form that servers give them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

# The keys under which servers put their words, the most telling first.
WORDS = ("message", "error", "errors", "detail", "details", "msg", "error_description", "title", "reason")
DEPTH = 6
# What LiteLLM's proxy says, with status 400, about a key that it does not know, if it keeps keys in no database.
UNKNOWN_KEY = "No connected db"


@dataclass(frozen=True)
class Refusal:
    """An error that a server sent.

    Attributes:
        status: HTTP status; for an error inside a response with status 200, the status that it names, or 502.
        words: The server's own words, in one text.
        code: The server's code or type of the error, or "".
        parameter: Name of the parameter that the server names as wrong, or "".
    """

    status: int
    words: str
    code: str = ""
    parameter: str = ""


def read_refusal(status: int, body: object, fallback: str = "") -> Refusal:
    """Read an error response.

    Args:
        status: HTTP status.
        body: The response: parsed JSON, or text.
        fallback: Words to use if the response has none.
    """
    body = _parsed(body)
    error = body.get("error", body) if isinstance(body, Mapping) else body
    about = error if isinstance(error, Mapping) else {}
    codes = [str(about[key]) for key in ("code", "type", "status") if about.get(key)]
    inner = about.get("innererror")  # Azure
    codes += [str(inner["code"])] if isinstance(inner, Mapping) and inner.get("code") else []
    words = _words(body, DEPTH) or fallback or f"HTTP {status}"
    return Refusal(
        status=401 if status == 400 and words.startswith(UNKNOWN_KEY) else status,
        words=words,
        code=" ".join(codes),
        parameter=str(about.get("param") or ""),
    )


def error_within(reply: Mapping[str, object]) -> Refusal | None:
    """Return the error in a response with status 200, or None: OpenRouter's once a model has begun."""
    error = reply.get("error")
    choices = reply.get("choices")
    if not error and isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        error = choices[0].get("error")
    if not error:
        return None
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    named = int(code) if code.isdigit() else 0
    return read_refusal(named if 400 <= named < 600 else 502, {"error": error})


def _parsed(body: object) -> object:
    if isinstance(body, str | bytes):
        try:
            return json.loads(body)
        except ValueError:
            pass
        return body.decode(errors="replace") if isinstance(body, bytes) else body
    return body


def _words(node: object, depth: int) -> str:
    """Return the words in an error of any form.

    Known forms: {"error": {"message"}} (OpenAI), {"error": "words"} (Ollama, LM Studio), {"message"} (vLLM),
    {"detail": "words"}, {"detail": [{"loc", "msg"}]} (FastAPI), {"message": {"detail": [...]}} (Mistral),
    {"error": {"message", "metadata": {"raw", "reasons"}}} (OpenRouter), a list of such, and plain text.
    """
    if depth == 0 or node is None:
        return ""
    if isinstance(node, str):
        return _without_markup(node)
    if isinstance(node, list):
        return "; ".join(filter(None, (_words(item, depth - 1) for item in node)))
    if not isinstance(node, Mapping):
        return ""
    for key in WORDS:
        found = _words(node.get(key), depth - 1)
        if found:
            place = node.get("loc")
            where = ".".join(str(part) for part in place) if isinstance(place, list | tuple) else ""
            more = _words(_upstream(node.get("metadata")), depth - 1)
            return ": ".join(filter(None, (where, found))) + (f" ({more})" if more else "")
    return ""


def _upstream(metadata: object) -> object:
    """Return what a router says about the error of the server behind it."""
    if not isinstance(metadata, Mapping):
        return None
    raw = metadata.get("raw")
    return _parsed(raw) if raw else metadata.get("reasons")


def _without_markup(text: str) -> str:
    """Return the text of an HTML page of errors, such as a proxy's."""
    if not re.match(r"\s*<(!doctype|html|head|body)", text, re.IGNORECASE):
        return text.strip()
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE).split())


TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|exceed_context_size|maximum (context|sequence|prompt|input)|max_model_len"
    r"|(prompt|input|request|message)s?\b.{0,40}\btoo (long|large|many tokens)|too many tokens"
    r"|max_(completion_)?tokens.{0,20}must be at least 1, got|reduce the length"
    r"|tokens \+ .{0,3}max_new_tokens",  # TGI
    re.IGNORECASE,
)
MODERATED = re.compile(
    r"moderation|flagged|content[ _-]?(filter|policy|management|safety)|responsible ?ai|guardrail|prohibited"
    r"|safety (system|filter|polic)|usage polic|policy violation|blocked by|data_inspection_failed"
    r"|inappropriate content",
    re.IGNORECASE,
)

# Groq and Cloudflare check a reply against the format that was asked for, and refuse what their model wrote.
MISWRITTEN = re.compile(
    r"json_validate_failed|json mode (couldn.?t|could not|cannot|can.?t) be met"
    r"|(failed to|unable to|could not|couldn.?t|did not|didn.?t) (validate|generate|produce|return)\b.{0,20}json",
    re.IGNORECASE,
)

# OpenRouter, which sends 404 if none of a model's providers may or can take a request.
UNROUTED = re.compile(r"\bno (allowed )?(endpoints|providers)\b", re.IGNORECASE)
UNROUTED_PARAMETERS = re.compile(r"\bendpoints\b.*\brequested parameters\b", re.IGNORECASE)


def is_unrouted(refusal: Refusal) -> bool:
    """Return whether a router has no server for a request."""
    return refusal.status == 404 and UNROUTED.search(refusal.words) is not None


def is_miswritten(refusal: Refusal) -> bool:
    """Return whether it is the model's reply that was refused, so that another attempt may help."""
    return refusal.status in (400, 422) and MISWRITTEN.search(f"{refusal.words} {refusal.code}") is not None


def is_too_long(refusal: Refusal) -> bool:
    """Return whether a passage and its reply do not fit into the model's context."""
    if refusal.status not in (400, 413, 422, 429, 500):  # llama.cpp sends 500
        return False
    return refusal.status == 413 or TOO_LONG.search(f"{refusal.words} {refusal.code}") is not None


def is_moderated(refusal: Refusal) -> bool:
    """Return whether a filter refused this passage."""
    return refusal.status in (400, 403, 422, 451) and bool(
        MODERATED.search(f"{refusal.words} {refusal.code}") or refusal.status == 451
    )
