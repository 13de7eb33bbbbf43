"""Checks what a run of our own pipeline is given, as its first task will: before there is a run."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from components.parameters import SETTINGS, Form, address, eval_set_lines, run_config
from embedtune.core.config.config import Config
from pipelines.specification import Specification

OTHERS = ("documents", "preset", "base_model", "storage_tls", "deploy_if", "champion", "eval_sets", "overrides")


def check_form(specification: Specification, values: Mapping[str, JsonValue]) -> None:
    """Refuse values that `prepare` would refuse without looking elsewhere. Another pipeline's are not checked.

    Args:
        specification: The pipeline.
        values: Values of its parameters, whose types have been checked.

    Raises:
        ConfigError: A field holds two values, or a setting is unknown, out of range or set twice.
    """
    if form_config(specification, values) is None:
        return
    fields = _fields(specification, values)
    eval_set_lines(cast(list[JsonValue], fields["eval_sets"]))
    for name in ("documents", "champion"):
        address(name, str(fields[name]))


def form_config(specification: Specification, values: Mapping[str, JsonValue]) -> Config | None:
    """Return the configuration of a run of our own pipeline; None for another pipeline.

    Args:
        specification: The pipeline.
        values: Values of its parameters, whose types have been checked.

    Raises:
        ConfigError: A field holds two values, or a setting is unknown, out of range or set twice.
    """
    if specification.parameters.keys() != {*SETTINGS, *OTHERS}:
        return None
    fields = _fields(specification, values)
    form = Form(
        str(fields["preset"]),
        str(fields["base_model"]),
        {name: str(fields[name]) for name in SETTINGS},
        bool(fields["storage_tls"]),
        str(fields["deploy_if"]),
        cast(Mapping[str, JsonValue], fields["overrides"]),
    )
    return run_config(form, in_cluster=True)


def _fields(specification: Specification, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {**{name: one.default for name, one in specification.parameters.items()}, **values}
