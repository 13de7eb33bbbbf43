"""Placeholders such as `[PERSON_1]`, which stand for personal data in what an LLM reads and writes."""

import re
from collections.abc import Iterator, Mapping

# Small LLMs drop the brackets.
_PLACEHOLDER = re.compile(r"\[?\b([A-Z][A-Z_]*_[0-9]+)\b\]?")


def placeholders(kind: str, text: str) -> Iterator[str]:
    """Yield the placeholders of a kind of personal data, without those that a text already has.

    Args:
        kind: For example PERSON.
        text: The text that must not contain them.
    """
    number = 0
    while True:
        number += 1
        if f"{kind}_{number}" not in text:
            yield f"[{kind}_{number}]"


def hide(text: str, hidden: Mapping[str, str]) -> str:
    """Return the text with every hidden value replaced by its placeholder, longer values first.

    Args:
        text: A question or answer that may name hidden values.
        hidden: The value of each placeholder.
    """
    for placeholder, value in sorted(hidden.items(), key=lambda item: (-len(item[1]), item[0])):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", placeholder, text, flags=re.IGNORECASE)
    return text


def restore(text: str, hidden: Mapping[str, str]) -> str:
    """Return the text with the values of its placeholders; one that the LLM made up is left."""
    return _PLACEHOLDER.sub(lambda match: hidden.get(f"[{match[1]}]", match[0]), text)


def names_unknown(text: str, hidden: Mapping[str, str]) -> bool:
    """Return whether a restored text still has a placeholder of a kind that was hidden from the LLM."""
    kinds = {placeholder[1:-1].rpartition("_")[0] for placeholder in hidden}
    return any(match.rpartition("_")[0] in kinds for match in _PLACEHOLDER.findall(text))
