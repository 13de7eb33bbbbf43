"""The replies and the faults of the test server in `openai_server.py`: each depends only on the call."""

import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]  # OpenAI's wire format
Fault = str | None
Faults = Callable[["Call"], Fault]

# All faults. HTTP level: statuses, silence, a body that ends early, a page instead of JSON.
HTTP_FAULTS = (
    "400",
    "429",
    "429-date",
    "500",
    "503",
    "stall",
    "trickle",
    "short_body",
    "html",
    "not_json",
    "no_choices",
)
# Content level: a well-formed completion whose text is unusable.
CONTENT_FAULTS = ("invalid_json", "truncated", "truncated_unsaid", "wrong_schema", "empty", "refusal")
# Unusual, but usable.
ODDITIES = ("no_usage", "fenced")


@dataclass(frozen=True)
class Call:
    """One chat request: `index` among all, `attempt` among those with the same messages; both count from 0."""

    body: Body
    index: int
    attempt: int
    headers: dict[str, str]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.body["messages"], sort_keys=True).encode()).hexdigest()

    @property
    def original(self) -> list[Body]:
        """The messages without the two that ask for a repair; the examples in a prompt are kept."""
        messages: list[Body] = self.body["messages"]
        repair = str(messages[-1]["content"]).startswith(("Your reply is not valid", "Your reply was too long"))
        return messages[:-2] if repair else messages

    @property
    def schema(self) -> Body:
        response_format = self.body.get("response_format", {})
        if response_format.get("type") == "json_schema":
            return dict(response_format["json_schema"]["schema"])
        system = str(self.body["messages"][0]["content"])
        marker = "JSON schema, and nothing else:\n"
        return dict(json.JSONDecoder().raw_decode(system[system.index(marker) + len(marker) :])[0])


def script(*faults: Fault) -> Faults:
    """Return faults for the first calls, in order; all later calls are answered."""
    return lambda call: faults[call.index] if call.index < len(faults) else None


def always(fault: str) -> Faults:
    return lambda call: fault


def now_and_then(share: float, faults: tuple[str, ...], seed: int = 0) -> Faults:
    """Return faults for a share of the requests when they first arrive, chosen by content and not by order.

    A repair never fails, so that every item succeeds in the end and an interrupted run ends like any other.
    """

    def choose(call: Call) -> Fault:
        rng = random.Random(f"{seed}:{call.fingerprint}")
        first = call.attempt == 0 and call.original == call.body["messages"]
        return rng.choice(faults) if first and rng.random() < share else None

    return choose


def built_reply(call: Call) -> str:
    """Return an instance of the requested schema, made of words of the user's message and decided by it alone.

    A repaired reply is the same as one that was right at once.
    """
    schema, text = call.schema, call.original[-1]["content"]
    words = re.findall(r"\w+", text) or ["word"]
    return json.dumps(_instance(schema, schema.get("$defs", {}), random.Random(text), words))


def _instance(node: Body, definitions: Body, rng: random.Random, words: list[str]) -> Any:
    if "$ref" in node:
        return _instance(definitions[node["$ref"].rpartition("/")[2]], definitions, rng, words)
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return rng.choice(node["enum"])
    if "anyOf" in node:
        return _instance(node["anyOf"][0], definitions, rng, words)
    match node.get("type"):
        case "object":
            return {name: _instance(c, definitions, rng, words) for name, c in node.get("properties", {}).items()}
        case "array":
            return _array(node, definitions, rng, words)
        case "integer" | "number":
            low, high = node.get("minimum", 0), node.get("maximum", 10)
            return rng.randint(
                int((low + high + 1) // 2), int(high)
            )  # the upper half: scores that are high enough
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randint(4, 9)])


def _array(node: Body, definitions: Body, rng: random.Random, words: list[str]) -> list[Any]:
    items = node["items"]
    if items.get("minimum") == 1 and "minItems" not in node:
        return list(range(1, items["maximum"] + 1))  # the judge of a bundle: every passage is needed
    least, most = node.get("minItems", 1), node.get("maxItems", max(3, node.get("minItems", 1)))
    return [_instance(items, definitions, rng, words) for _ in range(rng.randint(least, most))]


def completion(text: str, fault: Fault, call: Call) -> Body:
    """Return the body of a completion; a token is a word here, so that tests can count by hand."""
    prompt_tokens = sum(len(str(message["content"]).split()) for message in call.body["messages"])
    message: Body = {"role": "assistant", "content": text}
    finish = "stop"
    match fault:
        case "invalid_json":
            message["content"] = text[: len(text) // 2] + "\x1b[31m oops}"
        case "truncated":
            message["content"], finish = text[: len(text) // 2], "length"
        case "truncated_unsaid":
            message["content"] = text[: len(text) // 2]
        case "empty":
            message["content"] = None
        case "refusal":
            message["content"], message["refusal"] = None, "I cannot help with that."
        case "fenced":
            message["content"] = f"<think>maybe {{}}</think>Here it is:\n```json\n{text}\n```\nDone."
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text.split())}
    usage["total_tokens"] = sum(usage.values())
    body = {
        "id": f"chatcmpl-{call.index}",
        "object": "chat.completion",
        "created": 0,
        "model": call.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
    }
    return body if fault == "no_usage" else {**body, "usage": usage}
