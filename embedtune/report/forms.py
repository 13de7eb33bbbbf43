"""The table of the forms in which vectors are served: quality, size of the index, time of a search."""

from collections.abc import Mapping
from dataclasses import dataclass

from embedtune.core.records.evaluation import scan_figure
from embedtune.core.records.metrics import FormMetrics, SetMetrics
from embedtune.core.retrieval.forms import TITLES

MILLION = 1_000_000


@dataclass(frozen=True)
class FormRow:
    """One form, with what an index of a million passages takes.

    Args:
        metrics: What the tuned model reaches with it.
        title: The type, as vector databases name it.
        gigabytes: The vectors of a million passages.
        milliseconds: An exact search among a million passages on one core; None if it was not measured.
    """

    metrics: FormMetrics
    title: str
    gigabytes: float
    milliseconds: float | None


def form_rows(entry: SetMetrics, figures: Mapping[str, float | int | str]) -> list[FormRow]:
    """Return a row for each form; none if only floats of one size were measured.

    Args:
        entry: The metrics of a set.
        figures: The figures of the evaluation, which have the speeds.
    """
    return [
        FormRow(form, TITLES[form.type], form.bytes * MILLION / 1e9, _milliseconds(form, figures))
        for form in entry.forms
    ]


def _milliseconds(form: FormMetrics, figures: Mapping[str, float | int | str]) -> float | None:
    speed = figures.get(scan_figure(form.size, form.type))
    return 1000 * MILLION / speed if isinstance(speed, float | int) and speed else None
