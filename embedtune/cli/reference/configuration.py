"""The page on the configuration, from the field descriptions of the settings models."""

import json
from collections.abc import Iterator
from typing import Any

from embedtune.cli.reference.markdown import page, table
from embedtune.core.config.config import Config

INTRODUCTION = """A configuration is a preset (`--preset minilm`) or a YAML file (`embedtune init`,
then `--config FILE`), changed by `--set section.key=value`. Unknown keys, values out of range and impossible
combinations are refused with a message that names the key.
Defaults are those of the reference recipe unless the description says otherwise."""
HEAD = ("key", "default", "allowed", "meaning")
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}

Schema = dict[str, Any]  # JSON Schema, as pydantic writes it


def render() -> str:
    """Return the page."""
    schema = Config.model_json_schema()
    parts = [INTRODUCTION]
    for name, field in schema["properties"].items():
        section = _section(field, schema)
        if section is None:
            parts += [f"## `{name}`", f"{field['description']} Default: `{json.dumps(field.get('default'))}`."]
        else:
            parts += [f"## `{name}:`", field.get("description", ""), table(HEAD, _rows(section, schema, ""))]
    return page("Configuration", "the settings in `embedtune/core/config/`", parts)


def _section(field: Schema, schema: Schema) -> Schema | None:
    """Return the model in a field, or None if the field has a plain value."""
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            section: Schema = schema["$defs"][option["$ref"].split("/")[-1]]
            return section
    return None


def _rows(section: Schema, schema: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    required = section.get("required", ())
    for name, field in section["properties"].items():
        nested, listed = _section(field, schema), _section(field.get("items", {}), schema)
        if nested is not None:
            yield f"`{prefix}{name}`", "section", "", field["description"]
            yield from _rows(nested, schema, f"{prefix}{name}.")
        elif listed is not None:
            yield f"`{prefix}{name}`", "list of sections", "", field["description"]
            yield from _rows(listed, schema, f"{prefix}{name}[].")
        else:
            default = "required" if name in required else f"`{json.dumps(field.get('default'))}`"
            yield f"`{prefix}{name}`", default, _allowed(field), field["description"]


def _allowed(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for option in (field, *field.get("anyOf", ())):
        found = [text.format(option[key]) for key, text in BOUNDS.items() if key in option]
        if found:
            return ", ".join(found)
    return ""
