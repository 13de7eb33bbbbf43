"""Pydantic models as strict JSON schemas, and replies read as those models."""

import functools
import json
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


def json_part(text: str) -> str:
    """Return the JSON object in a reply, without reasoning, code fence or remarks around it."""
    answer = text.rpartition("</think>")[2]
    start, end = answer.find("{"), answer.rfind("}")
    return answer[start : end + 1] if 0 <= start < end else answer.strip()


def read_as(schema: type[T], text: str) -> T | Problem:
    """Parse JSON as a model; return what is wrong with it if it is not valid."""
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return Problem("invalid JSON", printable(items[0]["msg"]) if text else "the reply is empty")
    lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in items[:SHOWN_ERRORS]]
    more = len(items) - SHOWN_ERRORS
    return Problem("wrong schema", printable("; ".join(lines) + (f"; and {more} more" if more > 0 else "")))


def with_schema_in_prompt(messages: Sequence[Message], schema: JsonSchema) -> list[Message]:
    """Add the schema to the system message, for servers that do not accept one as a parameter."""
    rule = f"Reply with one JSON object that matches this JSON schema, and nothing else:\n{json.dumps(schema)}"
    if messages and messages[0]["role"] == "system":
        first: Message = {"role": "system", "content": f"{messages[0]['content']}\n\n{rule}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": rule}, *messages]


def repair_messages(reply: str, problem: Problem) -> list[Message]:
    """Return the messages that show a model its own reply and ask for a corrected one."""
    if problem.kind == CUT_OFF:
        echo = reply[:CUT_ECHO] + "…"
        demand = "Your reply was too long and was cut off. Send it again, complete and shorter."
    else:
        echo = reply
        demand = f"Your reply is not valid: {problem.detail}. Send the corrected JSON only, with no other text."
    return [{"role": "assistant", "content": echo or "{}"}, {"role": "user", "content": demand}]
