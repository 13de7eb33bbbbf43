"""Loads the configuration: a preset or a YAML file, then `section.key=value` overrides, all checked strictly."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml
from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from embedtune.core.config.config import Config
from embedtune.core.config.keys import similar_key
from embedtune.core.errors import ConfigError
from embedtune.core.suggestions import did_you_mean


def preset_names() -> list[str]:
    """Return the names of the presets that come with embedtune."""
    folder = resources.files("embedtune") / "presets"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return the commented YAML of a preset.

    Raises:
        ConfigError: There is no preset of this name.
    """
    known = preset_names()
    if name not in known:
        similar = did_you_mean(name, known) or None
        raise ConfigError("no such preset", got=name, expected=", ".join(known), fix=similar)
    return (resources.files("embedtune") / "presets" / f"{name}.yaml").read_text()


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Load a configuration.

    Args:
        source: Name of a preset, or path to a YAML file.
        overrides: `section.key=value` strings; values are read as YAML.

    Raises:
        ConfigError: A key is unknown, a value out of range, or a combination impossible.
    """
    try:
        data = yaml.safe_load(_text(source)) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid YAML", got=str(error)) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{source} is not a mapping", got=type(data).__name__, expected="sections")
    for override in overrides:
        _apply(data, override)
    return parse_config(data)


def _text(source: str | Path) -> bytes | str:
    """Return the YAML of a preset or a file; the name of a preset has priority over a file of that name."""
    path = Path(source)
    if str(source) in preset_names():
        return preset_text(str(source))
    if path.is_file():
        return path.read_bytes()
    if isinstance(source, str) and path.name == source and path.suffix not in {".yaml", ".yml"}:
        return preset_text(source)
    raise ConfigError(
        "the configuration file does not exist",
        got=source,
        expected=f"a YAML file, or one of the presets {', '.join(preset_names())}",
        fix="`embedtune init` writes one",
    )


def parse_config(data: dict[str, JsonValue]) -> Config:
    """Validate plain data as a configuration.

    Raises:
        ConfigError: The data is not valid; the error names each wrong key, its value and what is allowed.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors()) from error


def _apply(data: dict[str, JsonValue], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError("not an override", got=override, expected="section.key=value")
    *parents, last = key.strip().split(".")
    node = data
    for part in parents:
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{key} cannot be set: {part} is not a section", got=child)
        node = child
    try:
        node[last] = _number(yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of {key} is not valid YAML", got=value) from error


def _number(value: JsonValue) -> JsonValue:
    """Read 1e-5 as a number: without a dot in it, YAML 1.1 calls it a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(errors: list[ErrorDetails]) -> ConfigError:
    lines, similar = [], []
    for item in errors:
        key = ".".join(str(part) for part in item["loc"]) or "configuration"
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key (got {item['input']!r})")
            similar.append(similar_key(key, item["input"]))
        elif item["type"] == "missing":
            lines.append(f"{key}: missing")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['ctx']['error']}")
        else:
            lines.append(f"{key}: got {item['input']!r}; {item['msg']}")
    found = ", ".join(key for key in similar if key)
    return ConfigError(
        "the configuration is not valid:\n  " + "\n  ".join(lines),
        fix=f"did you mean {found}?"
        if found
        else "see the commented presets (`embedtune init`) or docs/reference/configuration.md",
    )
