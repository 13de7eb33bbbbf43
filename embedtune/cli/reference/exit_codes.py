"""The page on exit codes, from the error classes."""

import inspect

from embedtune.cli.reference.markdown import page, table
from embedtune.cli.reporting import EXIT_CODES
from embedtune.core import errors
from embedtune.core.errors import EmbedtuneError

INTRODUCTION = """The commands end with one of these codes, so that a script or a CI job can tell them apart.
A model that is not better, and therefore not deployed, is a result and not an error: the code is 0."""


def render() -> str:
    """Return the page."""
    rows = [
        (str(code), meaning, ", ".join(f"`{kind.__name__}`" for kind in error_classes() if kind.exit_code == code))
        for code, meaning in EXIT_CODES.items()
    ]
    classes = [(f"`{kind.__name__}`", str(kind.exit_code), inspect.getdoc(kind) or "") for kind in error_classes()]
    first_lines = [(name, code, text.split("\n\n")[0]) for name, code, text in classes]
    parts = [
        INTRODUCTION,
        table(("code", "meaning", "errors"), rows),
        "## Errors",
        "Every error says what happened and, where it can, what was got, what was expected and what to do.",
        table(("error", "code", "raised when"), first_lines),
    ]
    return page("Exit codes", "the classes in `embedtune/core/errors.py`", parts)


def error_classes() -> list[type[EmbedtuneError]]:
    """Return the errors that commands end with, in the order of their definition."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, EmbedtuneError)]
    return [kind for kind in kinds if kind.__module__ == errors.__name__]
