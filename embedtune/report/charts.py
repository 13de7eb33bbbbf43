"""The charts of the report, as SVG: bars with whiskers, intervals around zero, histograms, curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from embedtune.core.formatting import signed, with_minus
from embedtune.core.records.evaluation import Interval
from embedtune.report.svg import Scale, bar, drawing, element, exact_scale, line, round_scale, text

WIDTH = 884.0


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


@dataclass(frozen=True)
class Curve:
    """Points joined by a line."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bins:
    """Counts between edges: one more edge than counts."""

    name: str
    kind: str
    edges: Sequence[float]
    counts: Sequence[int]


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], label: str) -> Markup:
    """Return groups of bars from 0 to 1 with whiskers and their values above."""
    height, left, bottom, top = 260.0, 44.0, 216.0, 20.0
    y = round_scale(0.0, max(item.interval.high for _, group in groups for item in group) * 1.08, bottom, top)
    parts = [
        part
        for tick in y.ticks()
        for part in (
            line(left, y(tick), WIDTH, y(tick), "grid"),
            text(left - 8, y(tick) + 4, f"{tick:.1f}", "tick", "end"),
        )
    ]
    group_width = (WIDTH - left) / len(groups)
    for place, (name, group) in enumerate(groups):
        width = min(64.0, group_width * 0.8 / len(group))
        start = left + place * group_width + (group_width - width * len(group)) / 2
        for number, item in enumerate(group):
            x, middle = start + number * width, start + (number + 0.5) * width
            mean, low, high = item.interval.mean, item.interval.low, item.interval.high
            tip = f"{item.name}: {mean:.4f}, interval {low:.4f} to {high:.4f}"
            parts += [
                bar(x + 3, y(mean), width - 6, bottom - y(mean), f"bar {item.kind}", tip),
                *_whisker(middle, y(low), y(high)),
                text(middle, y(high) - 6, f"{mean:.2f}", "value", "middle"),
            ]
        parts.append(text(left + (place + 0.5) * group_width, bottom + 20, name, "label", "middle"))
    return drawing(WIDTH, height, label, [*parts, line(left, bottom, WIDTH, bottom, "axis")])


def _whisker(x: float, low: float, high: float) -> list[Markup]:
    caps = [line(x - 4, end, x + 4, end, "whisker") for end in (low, high)]
    return [line(x, low, x, high, "whisker"), *caps]


def forest(rows: Sequence[Row], label: str) -> Markup:
    """Return a forest plot: one line per row with its mean and interval, against a line at zero."""
    left, right, step, top = 250.0, WIDTH - 180.0, 24.0, 8.0
    ends = [end for row in rows for end in _ends(row.interval)]
    least, most = min(ends), max(ends)
    x = round_scale(min(0.0, least), max(0.0, most), left, right)
    parts: list[Markup] = []
    y = top
    for row in rows:
        if row.heading:
            parts.append(text(0, y + 20, row.heading, "heading"))
            y += 28
        parts += _interval(row, x, y + step / 2)
        y += step
    # A step of 0.025 needs three decimals.
    decimals = next((n for n in range(2, 6) if abs(round(x.step, n) - x.step) < 1e-9), 6)
    grid = [
        part
        for tick in x.ticks()
        for part in (
            line(x(tick), top, x(tick), y + 4, "zero" if abs(tick) < 1e-9 else "grid"),
            text(x(tick), y + 20, signed(tick, decimals), "tick", "middle"),
        )
    ]
    return drawing(WIDTH, y + 28, label, [*grid, *parts])


def _interval(row: Row, x: Scale, y: float) -> list[Markup]:
    mean, low, high = row.interval.mean, row.interval.low, row.interval.high
    kind = "muted" if row.muted else row.interval.direction
    known = not row.interval.unbounded
    span = f"({signed(low, 3)} … {signed(high, 3)})" if known else "(no interval)"
    return [
        text(10, y + 4, row.label, "label muted-text" if row.muted else "label"),
        text(x.start - 12, y + 4, row.detail, "tick", "end"),
        *([line(x(low), y, x(high), y, f"span {kind}")] if known else []),
        element("circle", cx=x(mean), cy=y, r=4.5, class_=f"dot {kind}"),
        text(WIDTH, y + 4, f"{signed(mean, 3)}  {span}", "tick", "end"),
    ]


def _ends(interval: Interval) -> tuple[float, float]:
    """Return what a row has to show: the interval, or only the mean if there are too few units for one."""
    return (interval.mean, interval.mean) if interval.unbounded else (interval.low, interval.high)


def histogram(series: Sequence[Bins], x_name: str, label: str) -> Markup:
    """Return counts as bars; several series are drawn on top of each other, half transparent."""
    height, left, bottom, top = 230.0, 44.0, 180.0, 24.0
    low, high = min(s.edges[0] for s in series), max(s.edges[-1] for s in series)
    x = exact_scale(low, high, left, WIDTH - 4)
    y = round_scale(0.0, max(1, *(max(s.counts) for s in series)), bottom, top)
    parts = _frame(x, y, x_name, bottom, left)
    for part in series:
        for start, end, count in zip(part.edges, part.edges[1:], part.counts, strict=False):
            if count:
                tip = f"{part.name}: {count} from {start:.3g} to {end:.3g}"
                parts.append(
                    bar(
                        x(start) + 0.5, y(count), x(end) - x(start) - 1, bottom - y(count), f"bar {part.kind}", tip
                    )
                )
    return drawing(WIDTH, height, label, [*parts, line(left, bottom, WIDTH, bottom, "axis")])


def curves(series: Sequence[Curve], x_name: str, label: str) -> Markup:
    """Return lines over a common horizontal axis, each labelled with its last value."""
    height, left, bottom, top = 230.0, 52.0, 180.0, 24.0
    xs = [x for curve in series for x, _ in curve.points]
    ys = [y for curve in series for _, y in curve.points]
    x = exact_scale(min(xs), max(xs), left, WIDTH - 60)
    y = round_scale(min(ys), max(ys), bottom, top)
    parts = _frame(x, y, x_name, bottom, left)
    for curve in series:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve.points)
        last_x, last_y = curve.points[-1]
        parts.append(element("polyline", points=path, class_=f"curve {curve.kind}"))
        if len(curve.points) <= 40:
            parts += [
                element(
                    "circle", element("title", f"{b:.4f}"), cx=x(a), cy=y(b), r=3.0, class_=f"dot {curve.kind}"
                )
                for a, b in curve.points
            ]
        parts.append(text(x(last_x) + 8, y(last_y) + 4, f"{last_y:.3g}", "value"))
    return drawing(WIDTH, height, label, parts)


def _frame(x: Scale, y: Scale, x_name: str, bottom: float, left: float) -> list[Markup]:
    rows = [
        part
        for tick in y.ticks()
        for part in (
            line(left, y(tick), WIDTH, y(tick), "grid"),
            text(left - 8, y(tick) + 4, with_minus(f"{tick:.4g}"), "tick", "end"),
        )
    ]
    columns = [text(x(tick), bottom + 18, with_minus(f"{tick:.4g}"), "tick", "middle") for tick in x.ticks()]
    return [*rows, *columns, text((left + WIDTH) / 2, bottom + 40, x_name, "label", "middle")]


def shares(rows: Sequence[tuple[str, int, str]], label: str) -> Markup:
    """Return horizontal bars of (label, count, CSS class), each labelled with its count and share of the total."""
    left, right, step = 190.0, WIDTH - 120.0, 26.0
    total = sum(count for _, count, _ in rows)
    x = exact_scale(0.0, max(1, *(count for _, count, _ in rows)), left, right)
    parts: list[Markup] = []
    for number, (name, count, kind) in enumerate(rows):
        y = number * step
        share = f"{count:,} ({count / total:.1%})" if total else "0"
        parts += [
            text(left - 10, y + 17, name, "label", "end"),
            bar(left, y + 5, x(count) - left, step - 9, f"bar {kind}", f"{name}: {count}"),
            text(x(count) + 8, y + 17, share, "value"),
        ]
    return drawing(WIDTH, step * len(rows) + 6, label, parts)
