"""Write docs/configuration.md from the settings; a test fails when it is stale."""

import json
from pathlib import Path
from typing import Any

from embedtune.core.config.config import Config

PAGE = Path(__file__).with_name("configuration.md")
HEAD = """# Configuration

Made from `embedtune/core/settings.py` by `python docs/build_configuration.py`; do not edit.

A configuration is a preset (`--preset minilm`) or a YAML file (`embedtune init`, then `--config FILE`), changed by
`--set section.key=value`. Unknown keys, values out of range and impossible combinations are refused by name.
Defaults are those of the reference recipe unless the description says why not.
"""


def render() -> str:
    """Return the page."""
    schema = Config.model_json_schema()
    lines = [HEAD]
    for name, field in schema["properties"].items():
        section = _section(field, schema)
        if section is None:
            lines += [f"\n## `{name}`\n", f"{field['description']} Default: `{json.dumps(field.get('default'))}`."]
        else:
            lines += [f"\n## `{name}:`\n", _table(section, schema, ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def _section(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            section: dict[str, Any] = schema["$defs"][option["$ref"].split("/")[-1]]
            return section
    return None


def _table(section: dict[str, Any], schema: dict[str, Any], prefix: str) -> str:
    rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"] if not prefix else []
    for name, field in section["properties"].items():
        nested = _section(field, schema)
        default = (
            "required" if name in section.get("required", ()) else f"`{_cell(json.dumps(field.get('default')))}`"
        )
        if nested is not None:
            rows.append(f"| `{prefix}{name}` | section | | {field['description']} |")
            rows.append(_table(nested, schema, f"{prefix}{name}."))
        else:
            rows.append(f"| `{prefix}{name}` | {default} | {_allowed(field)} | {_cell(field['description'])} |")
    return "\n".join(rows)


def _allowed(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for option in (field, *field.get("anyOf", ())):
        bounds = {
            "minimum": "≥ {}",
            "exclusiveMinimum": "> {}",
            "maximum": "≤ {}",
            "exclusiveMaximum": "< {}",
        }
        found = [text.format(option[key]) for key, text in bounds.items() if key in option]
        if found:
            return ", ".join(found)
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render())
