"""The templates of the pages: each page is one file that refers to no other."""

from pathlib import Path

import jinja2

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.metrics import metric_title


def page_templates() -> jinja2.Environment:
    """Return the templates, with what all pages show figures by."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # documents, questions, values of settings and names of sets are untrusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"metric_title": metric_title, "signed": signed, "interval": _interval}
    return environment


def _interval(value: Interval) -> str:
    """Return the two ends with four decimals; a dash if there are too few units for an interval."""
    return "–" if value.unbounded else f"{signed(value.low, 4)} … {signed(value.high, 4)}"  # noqa: RUF001
