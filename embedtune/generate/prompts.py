"""The prompts: Markdown files in `prompts/`, versioned by hash. Text from documents enters them as fenced data."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from embedtune.core.errors import ConfigError
from embedtune.llm.schema import Message

PROMPTS = ("generate_single", "generate_multi", "judge")
_ROLE = re.compile(r"^<!-- (system|user|assistant) -->\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """A chat whose last user message has `{placeholders}`; all messages before it are the same in every call.

    A server that caches prompt prefixes computes the fixed part once.
    """

    name: str
    fixed: tuple[tuple[str, str], ...]
    template: str
    version: str

    def messages(self, values: Mapping[str, str]) -> list[Message]:
        """Return the chat with the placeholders filled.

        Args:
            values: A value for each placeholder. Placeholders inside values are not filled.

        Raises:
            ConfigError: The template has a placeholder without a value.
        """
        missing = sorted(set(_PLACEHOLDER.findall(self.template)) - set(values))
        if missing:
            raise ConfigError(f"prompt {self.name} has unknown placeholders", got=missing, expected=sorted(values))
        text = _PLACEHOLDER.sub(lambda match: values[match[1]], self.template)
        fixed: list[Message] = [{"role": role, "content": content} for role, content in self.fixed]
        return [*fixed, {"role": "user", "content": text}]


@cache
def load_prompt(name: str) -> Prompt:
    """Read the prompt file `prompts/<name>.md`: `<!-- role -->` lines, each followed by that role's text.

    Raises:
        ConfigError: The file does not end with a user message.
    """
    text = (resources.files(__package__) / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    _, *parts = _ROLE.split(text)
    turns = list(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    if not turns or turns[-1][0] != "user":
        raise ConfigError(f"prompt {name} does not end with a user message", got=[role for role, _ in turns])
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Prompt(name, tuple(turns[:-1]), turns[-1][1], version)


def prompt_versions() -> dict[str, str]:
    """Return the hash of each prompt file, by name."""
    return {name: load_prompt(name).version for name in PROMPTS}


def fence(texts: list[str]) -> str:
    """Return numbered passages between lines with a tag that none of them contains: no text can end its fence.

    The tag is derived from the texts: the same passages give the same messages and the same cache key. Some
    servers read `<|…|>` in a message as a control token of the chat (ChatML, Llama 3), which could end the message
    itself, so a space is inserted into it.
    """
    texts = [text.replace("<|", "< |") for text in texts]
    joined = "\n".join(texts)
    tag, salt = "", 0
    while not tag or tag in joined:
        tag = "data-" + hashlib.sha256(f"{salt}\n{joined}".encode()).hexdigest()[:8]
        salt += 1
    return "\n".join([*(f"<{tag} {number}>\n{text}" for number, text in enumerate(texts, 1)), f"<{tag}>"])
