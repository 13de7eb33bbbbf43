"""The identity of a request: everything that determines an LLM's reply, and the cache key derived from it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from pydantic import JsonValue

from embedtune.llm.schema import JsonSchema, Message


@dataclass(frozen=True)
class SamplingParameters:
    """The sampling parameters of a request. The names of the fields are part of every cache key."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None


@dataclass(frozen=True, order=True)
class Origin:
    """The origin of a reply, without the messages."""

    model: str
    parameters: str
    schema_hash: str


@dataclass(frozen=True)
class RequestIdentity:
    """Everything that determines an LLM's reply; URL, API key, prices and pace do not.

    Attributes:
        prompt: Name of the prompt, for error messages. Its text is in `messages`, so the name is not in the key.
        model: Name of the model.
        parameters: Sampling parameters.
        schema: Strict JSON schema of the reply.
        messages: The chat.
    """

    prompt: str
    model: str
    parameters: SamplingParameters
    schema: JsonSchema
    messages: Sequence[Message]

    @cached_property
    def key(self) -> str:
        """The cache key: sha256 in hex."""
        return _sha256(
            canonical(
                {
                    "model": self.model,
                    "parameters": asdict(self.parameters),
                    "schema": dict(self.schema),
                    "messages": [
                        {"role": message["role"], "content": message["content"]} for message in self.messages
                    ],
                }
            )
        )

    @property
    def origin(self) -> Origin:
        """The part that recorded replies to the same prompt are compared by."""
        parameters = canonical(asdict(self.parameters))
        return Origin(self.model, parameters, _sha256(canonical(dict(self.schema)))[:16])


def canonical(value: JsonValue) -> str:
    """Return JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
