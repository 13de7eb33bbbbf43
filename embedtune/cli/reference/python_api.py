"""The page on the public Python API, from the docstring of `embedtune` and the names that it exports."""

import inspect
from collections.abc import Iterator

import embedtune
from embedtune.cli.reference.markdown import page, table


def render() -> str:
    """Return the page."""
    parts = list(_paragraphs(inspect.getdoc(embedtune) or ""))
    names = [name for name in getattr(embedtune, "__all__", ()) if not name.startswith("_")]
    if names:
        parts += ["## Names", table(("name", "meaning"), [(f"`{name}`", _summary(name)) for name in names])]
    return page("Python API", "`embedtune/__init__.py`", parts)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the parts of a docstring; indented ones become blocks of Python."""
    code: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            code.append(inspect.cleandoc("\n" + paragraph))
            continue
        if code:
            yield _block(code)
            code = []
        yield paragraph
    if code:
        yield _block(code)


def _block(code: list[str]) -> str:
    lines = "\n\n".join(code)
    return f"```python\n{lines}\n```"


def _summary(name: str) -> str:
    """Return the first sentence of the documentation of an exported name."""
    text = inspect.getdoc(getattr(embedtune, name)) or ""
    return text.split("\n\n")[0]
