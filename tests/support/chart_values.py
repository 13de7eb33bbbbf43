"""The values of a chart, as its defaults name them."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml


def require_schema(chart: Path, whole: Collection[str]) -> None:
    """Fail unless the chart's schema knows every value that its defaults name.

    Args:
        chart: Directory of the chart.
        whole: Names of values that are Kubernetes' own objects, whose parts the schema need not know.
    """
    schema = json.loads((chart / "values.schema.json").read_text())
    for path in leaves(yaml.safe_load((chart / "values.yaml").read_text()), whole):
        below = schema
        for name in path:
            below = below["properties"][name]
        assert below, path


def leaves(
    values: dict[str, Any], whole: Collection[str], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the path to each value."""
    for name, value in values.items():
        nested = isinstance(value, dict) and value and name not in whole
        yield from leaves(value, whole, (*path, name)) if nested else [(*path, name)]
