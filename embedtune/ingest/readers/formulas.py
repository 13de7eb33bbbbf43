"""Formulas as a line of text: what a term says by its place, such as an exponent, a sign says instead."""

import re
from collections.abc import Callable

from bs4.element import NavigableString, PreformattedString, Tag

_ONE_TERM = re.compile(r"[^\W\d_]|\d+(?:[.,]\d+)?|\([^()]*\)")
_RAISED_BY_ITSELF = frozenset("\u2032\u2033'°∘*†")


def power(base: str, exponent: str) -> str:
    """Return a base with its exponent."""
    return base + exponent if exponent in _RAISED_BY_ITSELF else _with("^", base, exponent)


def index(base: str, low: str) -> str:
    """Return a term with its index."""
    return _with("_", base, low)


def limits(sign: str, low: str, high: str) -> str:
    """Return a sign such as that of a sum with its limits; either may be empty."""
    return power(index(sign, low), high)


def fraction(above: str, below: str) -> str:
    """Return a fraction."""
    return f"{_term(above)}/{_term(below)}"


def root(inner: str, degree: str = "") -> str:
    """Return a root; without a degree it is the square root."""
    return f"{_term(inner)}^(1/{degree})" if degree else f"√{_term(inner)}"


def _with(sign: str, base: str, placed: str) -> str:
    return f"{base}{sign}{_term(placed)}" if placed else base


def _term(text: str) -> str:
    """Return a part of a formula, in parentheses if it is more than one term."""
    return text if _ONE_TERM.fullmatch(text) else f"({text})"


# MathML Core, section 3: elements whose children are told apart by their order, with the number of children.
_BY_ORDER: dict[str, tuple[int, Callable[..., str]]] = {
    "mfrac": (2, fraction),
    "mroot": (2, root),
    "msub": (2, index),
    "msubsup": (3, limits),
    "msup": (2, power),
    "munder": (2, lambda sign, low: f"{index(sign, low)} "),
    "munderover": (3, lambda sign, low, high: f"{limits(sign, low, high)} "),
}
_LEFT_OUT = frozenset(("annotation", "annotation-xml", "mphantom"))  # annotations repeat the formula, in TeX


def mathml_text(node: Tag) -> str:
    """Return the text of an element of MathML."""
    inner = [child for child in node.children if isinstance(child, Tag)]
    count, form = _BY_ORDER.get(node.name, (0, None))
    if form is not None and len(inner) == count:
        return form(*map(mathml_text, inner))
    text = "".join(filter(None, map(_part, node.children)))
    match node.name:
        case "msqrt":
            return root(text)
        case "mtext" | "mtr" | "mtd":
            return f" {text} "
    return text


def _part(child: object) -> str:
    if isinstance(child, Tag):
        return "" if child.name in _LEFT_OUT else mathml_text(child)
    if not isinstance(child, NavigableString) or isinstance(child, PreformattedString):
        return ""
    return str(child).strip().translate({0x2061: " ", 0x2062: None, 0x2063: None, 0x2064: "+"})  # invisible signs
