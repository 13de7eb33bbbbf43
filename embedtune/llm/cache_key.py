"""The identity of a request: everything that determines an LLM's reply, and the cache key derived from it."""

import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import JsonValue

from embedtune.llm.schema import JsonSchema, Message


@dataclass(frozen=True)
class SamplingParameters:
    """The sampling parameters of a request, as configured. The names of the fields are part of the cache keys.

    `max_tokens` is not: it does not change a complete reply, and no other is kept.
    """

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    seed: int | None
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, JsonValue]:
        """What is in the cache key; `extra` only if there is one, so that older keys remain."""
        record: dict[str, JsonValue] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
        }
        return {**record, "extra": dict(self.extra)} if self.extra else record


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
        documents: Ids of the documents that the messages quote; not in the key.
    """

    prompt: str
    model: str
    parameters: SamplingParameters
    schema: JsonSchema
    messages: Sequence[Message]
    documents: Sequence[str] = ()

    @cached_property
    def key(self) -> str:
        """The cache key: sha256 in hex."""
        return self._hash(self.parameters.record)

    def older_key(self, max_tokens: int | None) -> str:
        """Return the key that earlier versions gave this request, with the limit of tokens that was set then."""
        return self._hash({**self.parameters.record, "max_tokens": max_tokens})

    def is_in(self, keys: Container[str]) -> bool:
        """Return whether `keys` contains this request, by its key or by its older one."""
        return self.key in keys or self.older_key(self.parameters.max_tokens) in keys

    def _hash(self, parameters: dict[str, JsonValue]) -> str:
        return _sha256(
            canonical(
                {
                    "model": self.model,
                    "parameters": parameters,
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
        parameters = canonical(self.parameters.record)
        return Origin(self.model, parameters, _sha256(canonical(dict(self.schema)))[:16])


def canonical(value: JsonValue) -> str:
    """Return JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
