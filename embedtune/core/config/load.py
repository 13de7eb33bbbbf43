"""Loads the configuration: a preset or a YAML file, then `section.key=value` overrides, all checked strictly.

A preset is a way of working plus a base model. `presets/NAME.yaml` holds the first and names the second, whose
part `presets/bases/NAME.yaml` is put in its place. `PRESET+BASE` is the preset with another base model.
"""

import re
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml
from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from embedtune.core.config.config import Config
from embedtune.core.config.keys import similar_key
from embedtune.core.errors import ConfigError
from embedtune.core.suggestions import did_you_mean

PRESETS = resources.files("embedtune") / "presets"
BASES = PRESETS / "bases"
PLACE = re.compile(r"^contract: ([\w.-]+).*\n", re.MULTILINE)  # of the base model's part in a preset


def preset_names() -> list[str]:
    """Return the names of the presets that come with embedtune."""
    return _names(PRESETS)


def base_names() -> list[str]:
    """Return the names of the base models that come with a contract."""
    return _names(BASES)


def preset_text(name: str) -> str:
    """Return the commented YAML of a preset, complete with the part of its base model.

    Args:
        name: PRESET, or PRESET+BASE.

    Raises:
        ConfigError: There is no preset, or no base model, of this name.
    """
    preset, plus, base = name.partition("+")
    text = _shipped(PRESETS, preset, "preset")
    own = PLACE.search(text)
    assert own is not None, f"the preset {preset} names no base model"  # noqa: S101 - a test loads all of them
    part = _shipped(BASES, base if plus else own[1], "base model")
    return PLACE.sub(lambda _: part, text)


def layers(source: str | Path) -> list[tuple[str, str]]:
    """Return the parts of a configuration, each with its name and YAML; none says what another does.

    Args:
        source: Name of a preset, PRESET+BASE, or path to a YAML file.
    """
    preset, plus, base = str(source).partition("+")
    if preset not in preset_names():
        return [(str(source), Path(source).read_text(encoding="utf-8"))]
    text = _shipped(PRESETS, preset, "preset")
    own = PLACE.search(text)
    name = base if plus or own is None else own[1]
    return [(f"base {name}", _shipped(BASES, name, "base model")), (f"preset {preset}", PLACE.sub("", text))]


def _names(folder: Traversable) -> list[str]:
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def _shipped(folder: Traversable, name: str, kind: str) -> str:
    known = _names(folder)
    if name not in known:
        similar = did_you_mean(name, known) or None
        raise ConfigError(f"no such {kind}", got=name, expected=", ".join(known), fix=similar)
    return (folder / f"{name}.yaml").read_text()


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Load a configuration.

    Args:
        source: Name of a preset, PRESET+BASE, or path to a YAML file.
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
    return parse_config(data, overrides)


def _text(source: str | Path) -> bytes | str:
    """Return the YAML of a preset or a file; the name of a preset has priority over a file of that name."""
    path = Path(source)
    if str(source).partition("+")[0] in preset_names():
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


def parse_config(data: dict[str, JsonValue], overrides: Sequence[str] = ()) -> Config:
    """Validate plain data as a configuration.

    Args:
        data: Sections by name; the overrides are written into it.
        overrides: `section.key=value` strings; values are read as YAML.

    Raises:
        ConfigError: The data is not valid; the error names each wrong key, its value and what is allowed.
    """
    for override in overrides:
        _apply(data, override)
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
