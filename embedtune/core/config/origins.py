"""Where the value of each setting comes from: a default, the preset, its base model, the file, or an override."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, JsonValue

from embedtune.core.config.config import Config
from embedtune.core.config.keys import keys
from embedtune.core.config.load import layers

OVERRIDE = "--set"
ENVIRONMENT = "environment"
DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """One setting, its value, and where that comes from."""

    key: str
    value: JsonValue
    origin: str


def settings_of(source: str | Path, overrides: Sequence[str], loaded: Config, used: Config) -> list[Setting]:
    """Return every setting of a configuration, in the order of the sections.

    Args:
        source: Name of a preset, PRESET+BASE, or path to a YAML file.
        overrides: `section.key=value` strings.
        loaded: The configuration that these describe.
        used: The same after the environment was applied.
    """
    found = [(name, yaml.safe_load(text) or {}) for name, text in layers(source)]
    changed = {override.partition("=")[0].strip() for override in overrides}
    settings = []
    for key in keys():
        present, value = _value(used, key)
        if not present or isinstance(value, BaseModel):
            continue
        origin = next((name for name, data in found if _is_in(data, key)), DEFAULT)
        if any(key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in changed):
            origin = OVERRIDE
        elif _value(loaded, key) != (True, value):
            origin = ENVIRONMENT
        settings.append(Setting(key, _plain(used, key), origin))
    return settings


def _value(config: Config, key: str) -> tuple[bool, object]:
    """Return whether a configuration has a key, since a section may be unset, and its value."""
    node: object = config
    for part in key.split("."):
        if not isinstance(node, BaseModel):
            return False, None
        node = getattr(node, part)
    return True, node


def _plain(config: Config, key: str) -> JsonValue:
    node: JsonValue = config.model_dump(mode="json")
    for part in key.split("."):
        assert isinstance(node, dict)  # noqa: S101 - _value has found it
        node = node[part]
    return node


def _is_in(data: JsonValue, key: str) -> bool:
    """Return whether a layer sets a key, or a section above it as a whole."""
    for part in key.split("."):
        if not isinstance(data, dict):
            return data is not None
        if part not in data:
            return False
        data = data[part]
    return True
