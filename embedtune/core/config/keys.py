"""The keys of the configuration, and suggestions for misspelt ones."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from embedtune.core.config.config import Config
from embedtune.core.suggestions import closest


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield every key with its sections, such as `train.learning_rate`, and the sections themselves."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{prefix}{name}.")


def similar_key(key: str, value: object) -> str | None:
    """Return the known key that an unknown one most likely means, or None if none is similar.

    Args:
        key: The unknown key with its sections.
        value: What it was set to. If that is a section, the section's first key counts too.
    """
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    here = {known[len(prefix) :] for known in keys() if known.startswith(prefix)}
    best = closest(name, (known for known in here if "." not in known))
    if best:
        return prefix + best
    # The key may belong to another section, or a dot may be where an underscore is meant.
    if isinstance(value, dict) and value:
        name = f"{name}_{next(iter(value))}"
    elsewhere = {known.rpartition(".")[2]: known for known in keys()}
    last = closest(name, elsewhere)
    return elsewhere[last] if last else None
