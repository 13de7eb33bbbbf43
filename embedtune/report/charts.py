"""The charts of the report that have two axes, as SVG: histograms and curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from embedtune.core.formatting import with_minus
from embedtune.report.svg import Scale, bar, drawing, element, exact_scale, line, round_scale, text

WIDTH = 640.0  # small enough that labels can be read on a phone, where a chart scrolls below 520 pixels


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
