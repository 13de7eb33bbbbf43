"""Pydantic models as strict JSON schemas, and replies read as those models."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from pydantic import BaseModel, ValidationError

from embedtune.llm.errors import printable

T = TypeVar("T", bound=BaseModel)
# The format is JSON Schema's (json-schema.org); pydantic generates it.
JsonSchema = Mapping[str, Any]


class Message(TypedDict):
    """One message of a chat, in OpenAI's wire format."""

    role: str
    content: str


# How much of a cut-off reply is shown to the model again: all of it would not fit a second time.
CUT_ECHO = 500
SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Problem:
    """The reason why a reply is unusable."""

    kind: str
    detail: str


CUT_OFF = "cut off"
REFUSED = "refused"
NO_JSON = "invalid JSON"


@functools.cache
def strict_schema(model: type[BaseModel]) -> JsonSchema:
    """Return the JSON schema of a model in the form that structured output requires.

    Every property is required and no other is allowed (OpenAI, "Structured Outputs", supported schemas). Titles
    and defaults are dropped: an LLM learns nothing from them, and a version of pydantic that words them
    differently would change every cache key. The result is shared: do not change it.
    """
    schema: JsonSchema = _strict(model.model_json_schema())
    return schema


def _strict(node: Any) -> Any:  # any part of a JSON schema
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"]}  # strict mode allows no other key next to it
    result: dict[str, Any] = {}  # a part of a JSON schema
    for key, value in node.items():
        if key in ("properties", "$defs"):
            result[key] = {name: _strict(child) for name, child in value.items()}
        elif key in ("items", "prefixItems", "anyOf", "oneOf", "allOf"):
            result[key] = _strict(value)
        elif key not in ("title", "default"):
            result[key] = value
    if "properties" in result:
        result["required"] = list(result["properties"])
        result["additionalProperties"] = False
    return result


# What models add to JSON when no grammar keeps them from it: comments, and commas after the last item. Strings
# come first, so that they stay as they are.
_ADDED = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)

# Where the thoughts in a reply end: DeepSeek and Qwen, Magistral, others; the last channel of gpt-oss.
THOUGHT_END = re.compile(
    r"</(?:seed:)?think>|</thinking>|</thought>|</reasoning>|\[/THINK\]|<\|END_THINKING\|>|◁/think▷"
    r"|<\|channel\|>\s*final\b[^{]*?<\|message\|>"
)


def json_part(text: str) -> str:
    """Return the JSON object in a reply, without reasoning, code fence or remarks around it."""
    return _object_in(_after_thoughts(text))


def _after_thoughts(text: str) -> str:
    """Return what follows the last end of a thought, unless that is inside the answer itself."""
    for end in reversed([match.end() for match in THOUGHT_END.finditer(text)]):
        if "{" in text[end:]:
            return text[end:]
    return text


def _object_in(text: str) -> str:
    start, end = text.find("{"), text.rfind("}")
    if not 0 <= start < end:
        return text.strip()
    whole = text[start : end + 1]
    if _end(whole, 0) == len(whole):
        return whole
    plain = _ADDED.sub(lambda found: found[1] or "", _ADDED.sub(_without_comment, whole))
    return max(_longest_object(text), _longest_object(plain), key=len) or whole


def _without_comment(found: re.Match[str]) -> str:
    return "" if found.group().startswith("/") else found.group()


def _longest_object(text: str) -> str:
    """Return the longest JSON object in a text, or "" if there is none: braces may be in the remarks around it."""
    best, place = "", text.find("{")
    while place >= 0:
        end = _end(text, place)
        best = max(best, text[place:end], key=len)
        place = text.find("{", max(end, place + 1))
    return best


def _end(text: str, start: int) -> int:
    """Return where the JSON object that begins at `start` ends, or `start` if there is none."""
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return start
    return end


def ends_early(text: str) -> bool:
    """Return whether the first JSON object in a reply is incomplete, because the reply ends before it does."""
    reply = _after_thoughts(text).rstrip().removesuffix("```").rstrip()
    start = reply.find("{")
    if start < 0:
        return False
    try:
        json.JSONDecoder(strict=False).raw_decode(reply, start)
    except json.JSONDecodeError as error:
        open_string = error.msg.startswith("Unterminated string") and not reply.endswith("}")
        return open_string or error.pos >= len(reply)
    except RecursionError:
        return False
    return False


def read_as(schema: type[T], text: str) -> T | Problem:
    """Parse JSON as a model; return what is wrong with it if it is not valid.

    Line breaks within strings are accepted: without a grammar, models write them as they are.
    """
    try:
        return schema.model_validate_json(_escaped(text))
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return Problem(NO_JSON, printable(items[0]["msg"]) if text else "the reply is empty")
    lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in items[:SHOWN_ERRORS]]
    more = len(items) - SHOWN_ERRORS
    return Problem("wrong schema", printable("; ".join(lines) + (f"; and {more} more" if more > 0 else "")))


def _escaped(text: str) -> str:
    """Return JSON with the control characters in its strings escaped; other text as it is."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Invalid control character"):
            try:
                return json.dumps(json.loads(text, strict=False))
            except ValueError:
                return text
    except RecursionError:
        pass
    return text


def with_schema_in_prompt(messages: Sequence[Message], schema: JsonSchema) -> list[Message]:
    """Add the schema to the system message, for servers that do not accept one as a parameter."""
    # Without blanks it takes a quarter fewer tokens, and it is paid for in every call.
    written = json.dumps(schema, separators=(",", ":"))
    rule = f"Reply with one JSON object that matches this JSON schema, and nothing else:\n{written}"
    if messages and messages[0]["role"] == "system":
        first: Message = {"role": "system", "content": f"{messages[0]['content']}\n\n{rule}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": rule}, *messages]


def without_system_role(messages: Sequence[Message]) -> list[Message]:
    """Put the system message before the first user message, for servers that accept no system message."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, rest = messages[0], list(messages[1:])
    if rest and rest[0]["role"] == "user":
        rest[0] = {"role": "user", "content": f"{system['content']}\n\n{rest[0]['content']}"}
        return rest
    return [{"role": "user", "content": system["content"]}, *rest]


def repair_messages(reply: str, problem: Problem) -> list[Message]:
    """Return the messages that show a model its own reply and ask for a corrected one."""
    if problem.kind == CUT_OFF:
        echo = reply[:CUT_ECHO] + "…"
        demand = "Your reply was too long and was cut off. Send it again, complete and shorter."
    else:
        echo = reply
        demand = f"Your reply is not valid: {problem.detail}. Send the corrected JSON only, with no other text."
    return [{"role": "assistant", "content": echo or "{}"}, {"role": "user", "content": demand}]
