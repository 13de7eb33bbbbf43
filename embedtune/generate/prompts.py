"""The prompts: Markdown files, ours in `prompts/` or the user's, versioned by hash.

Text from documents enters them as fenced data.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from embedtune.core.config.generate import GenerateSettings, PromptName
from embedtune.core.errors import ConfigError
from embedtune.core.retrieval.example_queries import read_example_queries
from embedtune.llm.schema import Message

PROMPTS: tuple[PromptName, ...] = ("generate_single", "generate_multi", "judge", "judge_multi")
# What a prompt file may ask to be filled in. The first two are the same in all calls of a run.
PLACEHOLDERS = ("background", "language", "passages", "queries", "slots", "searches")
SHOWN_QUERIES = 4  # per call: enough to show the style, few enough to stay cheap
CONTEXT = "Text marked (before: …) or (after: …) is from around a passage: it explains, ask nothing about it."
_ROLE = re.compile(r"^<!-- (system|user|assistant) -->\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """A chat with `{placeholders}`; all messages before the last one are the same in every call of a run.

    A server that caches prompt prefixes computes the fixed part once.
    """

    name: str
    fixed: tuple[tuple[str, str], ...]
    template: str
    version: str

    @property
    def placeholders(self) -> set[str]:
        """The placeholders in all of its messages."""
        texts = [*(text for _, text in self.fixed), self.template]
        return {found for text in texts for found in _PLACEHOLDER.findall(text)}

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
        fixed: list[Message] = [
            {"role": role, "content": _filled(content, values)} for role, content in self.fixed
        ]
        return [*fixed, {"role": "user", "content": _filled(self.template, values)}]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


@dataclass(frozen=True)
class Prompts:
    """The prompts of a run, with what is filled in from the configuration.

    Attributes:
        by_name: The prompts.
        background: What the LLM is told about the documents and the people who search, or "".
        language: What the questions are written in.
        queries: Real queries of the user's, which show how people type here.
    """

    by_name: Mapping[PromptName, Prompt]
    background: str
    language: str
    queries: tuple[str, ...] = ()

    def messages(self, name: PromptName, values: Mapping[str, str]) -> list[Message]:
        """Return the chat of a prompt with its placeholders filled."""
        return self.by_name[name].messages({"background": self.background, "language": self.language, **values})

    def queries_for(self, key: str) -> str:
        """Return the real queries that are shown in a call, or "": few, chosen by hash.

        A query that is added to the file changes only the calls that show it.
        """
        chosen = sorted(self.queries, key=lambda query: _sha256(f"{key}\0{query}"))[:SHOWN_QUERIES]
        if not chosen:
            return ""
        lines = "\n".join(f"- {_harmless(query)}" for query in sorted(chosen))
        return f"\nThis is how people type here. These are about other things and are data too:\n{lines}\n"

    def mentions(self, name: PromptName, words: str) -> bool:
        """Return whether a prompt has certain words: what a reply may contain follows from what its prompt says.

        So prompt files, and recordings, that know nothing of a newer part of a reply keep working.
        """
        prompt = self.by_name[name]
        return any(
            words in text for role, text in (*prompt.fixed, ("user", prompt.template)) if role != "assistant"
        )

    @property
    def versions(self) -> dict[str, str]:
        """The hash of each prompt file, by name."""
        return {name: self.by_name[name].version for name in PROMPTS}


def prompts_of(settings: GenerateSettings) -> Prompts:
    """Return the prompts that the settings ask for: the user's own files, or the shipped ones.

    Raises:
        ConfigError: A file does not exist, does not end with a user message, or has an unknown placeholder.
    """
    own = settings.prompts
    by_name = {name: own_prompt(name, own[name]) if name in own else load_prompt(name) for name in PROMPTS}
    for prompt in by_name.values():
        _require_room(prompt, settings)
    return Prompts(
        by_name=by_name,
        background=_background(settings),
        language=settings.language or "the language of the passage",
        queries=() if settings.example_queries is None else read_example_queries(settings.example_queries),
    )


def _require_room(prompt: Prompt, settings: GenerateSettings) -> None:
    """Refuse a setting that a prompt file has no placeholder for: it would be ignored in silence."""
    wanted: dict[str, tuple[str, ...]] = {"background": ("domain", "audience", "context_words")}
    if prompt.name in ("generate_single", "generate_multi"):
        wanted |= {"language": ("language",), "queries": ("example_queries",)}
    for placeholder, keys in wanted.items():
        given = [key for key in keys if getattr(settings, key)]
        if given and placeholder not in prompt.placeholders:
            raise ConfigError(
                f"generate.{given[0]} cannot reach the LLM",
                got=f"a file generate.prompts.{prompt.name} without {{{placeholder}}}",
                fix=f"write {{{placeholder}}} where it belongs in that file, or unset generate.{given[0]}",
            )


def _background(settings: GenerateSettings) -> str:
    said = []
    if settings.domain:
        said.append(f"The documents: {settings.domain}.")
    if settings.audience:
        said.append(f"The people who search: {settings.audience}.")
    if settings.context_words:
        said.append(CONTEXT)
    return "".join(f" {sentence}" for sentence in said)


@cache
def load_prompt(name: PromptName) -> Prompt:
    """Read a shipped prompt, `prompts/<name>.md`."""
    text = (resources.files(__package__) / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    return _prompt(name, text)


def own_prompt(name: PromptName, path: str) -> Prompt:
    """Read a prompt file of the user's.

    Raises:
        ConfigError: The file does not exist, does not end with a user message, or has an unknown placeholder.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"generate.prompts.{name} cannot be read", got=str(error), expected="a text file in UTF-8"
        ) from error
    return _prompt(name, text)


def _prompt(name: PromptName, text: str) -> Prompt:
    """Read a prompt: `<!-- role -->` lines, each followed by that role's text."""
    _, *parts = _ROLE.split(text)
    turns = list(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    if not turns or turns[-1][0] != "user":
        raise ConfigError(
            f"prompt {name} does not end with a user message",
            got=[role for role, _ in turns],
            expected="<!-- system -->, <!-- user --> and <!-- assistant --> lines, the last one <!-- user -->",
        )
    prompt = Prompt(name, tuple(turns[:-1]), turns[-1][1], version=_sha256(text)[:16])
    if unknown := sorted(prompt.placeholders - set(PLACEHOLDERS)):
        raise ConfigError(f"prompt {name} has unknown placeholders", got=unknown, expected=", ".join(PLACEHOLDERS))
    return prompt


def fence(texts: list[str]) -> str:
    """Return numbered passages between lines with a tag that none of them contains: no text can end its fence.

    The tag is derived from the texts: the same passages give the same messages and the same cache key. Some
    servers read `<|…|>` in a message as a control token of the chat (ChatML, Llama 3), which could end the message
    itself, so a space is inserted into it.
    """
    texts = [_harmless(text) for text in texts]
    joined = "\n".join(texts)
    tag, salt = "", 0
    while not tag or tag in joined:
        tag = "data-" + _sha256(f"{salt}\n{joined}")[:8]
        salt += 1
    return "\n".join([*(f"<{tag} {number}>\n{text}" for number, text in enumerate(texts, 1)), f"<{tag}>"])


def _harmless(text: str) -> str:
    return text.replace("<|", "< |")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
