"""Suggestions for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or else the only one that starts with it; case is ignored."""
    names = {one.lower(): one for one in known}
    alike = get_close_matches(name.lower(), names, n=1)
    if not alike:
        starting = [one for one in names if name and one.startswith(name.lower())]
        alike = starting if len(starting) == 1 else []
    return names[alike[0]] if alike else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question "did you mean train?", or "" if no known name is like `name`."""
    best = closest(name, known)
    return f"did you mean {best}?" if best else ""
