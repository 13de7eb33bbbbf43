"""Elements of inline SVG: built as escaped markup, drawn by the browser in the page's own fonts and colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

TICKS = 5  # target number of ticks on an axis


def element(name: str, content: object = "", /, **attributes: object) -> Markup:
    """Return an element, its content escaped unless it is markup.

    A trailing underscore of an attribute is dropped and others become hyphens: `class_`, `text_anchor`.
    """
    pairs = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _number(value))
        for key, value in attributes.items()
    ]
    return Markup("<{}{}>{}</{}>").format(name, Markup("").join(pairs), content, name)


def drawing(width: float, height: float, label: str, parts: Sequence[Markup]) -> Markup:
    """Return an image that scales with the page; `label` is its text for screen readers."""
    return element(
        "svg",
        Markup("").join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        style=f"max-width:{width:g}px",
    )


def text(x: float, y: float, content: object, kind: str = "", anchor: str = "start") -> Markup:
    """Return a line of text; `kind` is a CSS class of the report."""
    return element("text", content, x=x, y=y, class_=kind or "label", text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def bar(x: float, y: float, width: float, height: float, kind: str, tip: str) -> Markup:
    """Return a rectangle that shows `tip` when the mouse is over it."""
    return element("rect", element("title", tip), x=x, y=y, width=max(0.0, width), height=height, class_=kind)


@dataclass(frozen=True)
class Scale:
    """Maps values in `low`..`high` to pixels in `start`..`end`, with ticks at the multiples of `step`."""

    low: float
    high: float
    step: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the round values within the range, about `TICKS` of them."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return [number * self.step for number in range(first, last + 1)]


def exact_scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return a scale of exactly this range; an empty range is widened to 1."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, _round_step(high - low), start, end)


def round_scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return a scale whose range is widened to the nearest ticks outside it."""
    exact = exact_scale(low, high, start, end)
    step = exact.step
    return Scale(
        math.floor(exact.low / step + 1e-9) * step, math.ceil(exact.high / step - 1e-9) * step, step, start, end
    )


def _round_step(span: float) -> float:
    """Return 1, 2, 2.5, 5 or 10 times a power of ten that divides a span into about `TICKS` parts."""
    raw = span / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return power * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * power - raw))


def _number(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
