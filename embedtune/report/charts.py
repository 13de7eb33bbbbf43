"""The charts of the report that have two axes, as SVG: histograms and curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from embedtune.core.formatting import signed, with_minus
from embedtune.core.records.evaluation import Interval
from embedtune.report.svg import Scale, bar, drawing, element, exact_scale, line, round_scale, text

WIDTH = 640.0  # small enough that labels can be read on a phone, where a chart scrolls below 520 pixels


@dataclass(frozen=True)
class Curve:
    """Points joined by a line."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Gains:
    """Differences with their intervals, joined by a line; each `points` entry has a place on the x axis."""

    name: str
    kind: str
    points: Sequence[tuple[float, Interval]]


@dataclass(frozen=True)
class Bins:
    """Counts between edges: one more edge than counts."""

    name: str
    kind: str
    edges: Sequence[float]
    counts: Sequence[int]


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


def gains(series: Sequence[Gains], x_name: str, label: str) -> Markup:
    """Return lines of differences with whiskers, from 0 on both axes; a whisker shows its figures to the mouse."""
    height, left, bottom, top, apart = 270.0, 60.0, 220.0, 16.0, 5.0
    found = [(x, gap) for one in series for x, gap in one.points]
    ends = [end for _, gap in found for end in ((gap.mean,) if gap.unbounded else (gap.low, gap.high))]
    x = exact_scale(0.0, max(place for place, _ in found), left, WIDTH - 16)
    y = round_scale(min(0.0, *ends), max(0.0, *ends), bottom, top)
    parts = [*_frame(x, y, x_name, bottom, left), line(left, y(0.0), WIDTH, y(0.0), "axis")]
    for number, one in enumerate(series):
        shift = apart * (number - (len(series) - 1) / 2)  # whiskers at the same place do not hide each other
        places = [(x(place) + shift, gap) for place, gap in one.points]
        path = " ".join(f"{place:.1f},{y(gap.mean):.1f}" for place, gap in places)
        parts.append(element("polyline", points=f"{x(0.0):.1f},{y(0.0):.1f} {path}", class_=f"curve {one.kind}"))
        for place, gap in places:
            if not gap.unbounded:
                parts.append(line(place, y(gap.low), place, y(gap.high), f"whisker {one.kind}"))
            tip = element("title", f"{one.name}: {_with_ends(gap)}")
            parts.append(element("circle", tip, cx=place, cy=y(gap.mean), r=4.0, class_=f"dot {one.kind}"))
    return drawing(WIDTH, height, label, parts)


def _with_ends(gap: Interval) -> str:
    span = "no interval" if gap.unbounded else f"{signed(gap.low, 4)} … {signed(gap.high, 4)}"
    return f"{signed(gap.mean, 4)} ({span})"


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
