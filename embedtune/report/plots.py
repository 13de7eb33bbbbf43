"""Plots made of HTML rows: text stays text, to be read on a phone, in print and aloud as well as on a screen."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import Interval
from embedtune.report.svg import Scale, element, exact_scale, round_scale


@dataclass(frozen=True)
class Bar:
    """A bar with a whisker; `kind` is the CSS class that sets its colour."""

    name: str
    kind: str
    interval: Interval


@dataclass(frozen=True)
class Row:
    """An interval in a forest plot; a muted row has too few cases to be reliable."""

    label: str
    detail: str
    interval: Interval
    muted: bool = False
    heading: str = ""


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], label: str) -> Markup:
    """Return groups of bars from 0 with whiskers and their values."""
    most = max(item.interval.high for _, group in groups for item in group)
    x = round_scale(0.0, most, 0.0, 100.0)
    rows: list[Markup] = []
    for name, group in groups:
        rows.append(_heading(name))
        for item in group:
            mean, low, high = item.interval.mean, item.interval.low, item.interval.high
            marks = [
                _mark(f"bar {item.kind}", 0.0, x(mean)),
                _mark("whisker", x(low), x(high)),
            ]
            rows.append(_row(item.name, "", marks, x, f"{mean:.3f}", f"({low:.3f} … {high:.3f})"))
    return _plot("bars", label, [*rows, _axis(x, [f"{tick:.1f}" for tick in x.ticks()])])


def forest(rows: Sequence[Row], label: str) -> Markup:
    """Return a forest plot: one line per row with its mean and interval, against a line at zero."""
    ends = [end for row in rows for end in _ends(row.interval)]
    x = round_scale(min(0.0, *ends), max(0.0, *ends), 0.0, 100.0)
    parts: list[Markup] = []
    for row in rows:
        if row.heading:
            parts.append(_heading(row.heading))
        mean, low, high = row.interval.mean, row.interval.low, row.interval.high
        kind = "muted" if row.muted else row.interval.direction
        known = not row.interval.unbounded
        marks = [_mark(f"span {kind}", x(low), x(high))] if known else []
        marks.append(_mark(f"dot {kind}", x(mean)))
        span = f"({signed(low, 3)} … {signed(high, 3)})" if known else "(no interval)"
        parts.append(_row(row.label, row.detail, marks, x, signed(mean, 3), span, pale=row.muted))
    # A step of 0.025 needs three decimals.
    decimals = next((n for n in range(2, 6) if abs(round(x.step, n) - x.step) < 1e-9), 6)
    return _plot("forest", label, [*parts, _axis(x, [signed(tick, decimals) for tick in x.ticks()])])


def _ends(interval: Interval) -> tuple[float, float]:
    """Return what a row has to show: the interval, or only the mean if there are too few units for one."""
    return (interval.mean, interval.mean) if interval.unbounded else (interval.low, interval.high)


def shares(rows: Sequence[tuple[str, int, str]], label: str) -> Markup:
    """Return bars of (label, count, CSS class), each labelled with its count and share of the total."""
    total = sum(count for _, count, _ in rows)
    x = exact_scale(0.0, max(1, *(count for _, count, _ in rows)), 0.0, 100.0)
    parts = [
        _row(
            name,
            "",
            [_mark(f"bar {kind}", 0.0, x(count))],
            None,
            f"{count:,}",
            f"({count / total:.1%})" if total else "",
        )
        for name, count, kind in rows
    ]
    return _plot("shares", label, parts)


def _plot(kind: str, label: str, rows: Sequence[Markup]) -> Markup:
    return element("div", Markup("").join(rows), class_=f"plot {kind}", role="group", aria_label=label)


def _heading(name: str) -> Markup:
    return element("p", name, class_="plot-heading")


def _row(
    label: str, detail: str, marks: Sequence[Markup], x: Scale | None, value: str, span: str, *, pale: bool = False
) -> Markup:
    grid = [_mark("zero" if abs(tick) < 1e-9 else "grid", x(tick)) for tick in x.ticks()] if x else []
    cells = [
        element(
            "span", Markup("{} {}").format(label, element("small", detail)) if detail else label, class_="name"
        ),
        element("span", Markup("").join([*grid, *marks]), class_="track"),
        element("span", Markup("<b>{}</b> {}").format(value, span), class_="figure"),
    ]
    return element("div", Markup("").join(cells), class_="row pale" if pale else "row")


def _axis(x: Scale, labels: Sequence[str]) -> Markup:
    ticks = [
        element("i", label, style=f"left:{x(tick):.2f}%") for tick, label in zip(x.ticks(), labels, strict=True)
    ]
    cells = [element("span", class_="name"), element("span", Markup("").join(ticks), class_="track axis")]
    return element(
        "div", Markup("").join([*cells, element("span", class_="figure")]), class_="row", aria_hidden="true"
    )


def _mark(kind: str, start: float, end: float | None = None) -> Markup:
    """Return a mark at a percentage of the track's width, or from one to another."""
    width = "" if end is None else f";width:{end - start:.2f}%"
    return element("i", class_=kind, style=f"left:{start:.2f}%{width}")
