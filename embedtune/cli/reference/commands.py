"""The page on the command line, from the tree of click commands."""

import inspect
import textwrap
from collections.abc import Iterator

import click

from embedtune.cli import cli
from embedtune.cli.reference.markdown import page, table

INTRODUCTION = """Every command takes `--help`. `python -m embedtune` is the same as `embedtune`.
The exit codes are listed in [exit-codes.md](exit-codes.md), the environment variables in
[environment.md](environment.md), and the keys of `--set` in [configuration.md](configuration.md)."""


def render() -> str:
    """Return the page."""
    from embedtune.serve.gateway.__main__ import main as gateway

    parts = [INTRODUCTION, *_described(cli, "embedtune", None)]
    parts += _described(gateway, "python -m embedtune.serve.gateway", None)
    return page("Command line", "the commands in `embedtune/cli/` and the gateway's options", parts)


def command_tree(command: click.Command, name: str, parent: click.Context | None) -> Iterator[click.Context]:
    """Yield the context of a command and, for a group, those of the commands in it, in the order of its help.

    Args:
        command: The command to start at.
        name: Its name.
        parent: The context of the group that it belongs to; None: it is the top.
    """
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from command_tree(found, child, context)


def _described(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    for context in command_tree(command, name, parent):
        yield f"## `{context.command_path}`"
        yield from _text(context.command.help)
        yield f"```\n{context.command_path} {' '.join(context.command.collect_usage_pieces(context))}\n```"
        records = [parameter.get_help_record(context) for parameter in context.command.params]
        rows = [(f"`{record[0]}`", record[1]) for record in records if record and record[1]]
        if rows:
            yield table(("option", "meaning"), rows)
        yield from _text(context.command.epilog)


def _text(text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text; lines that click must not wrap become a block of code."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first.strip() != "\b":
            yield paragraph
            continue
        title, _, lines = rest.partition("\n")
        if title.endswith(":") and lines:
            yield title
            rest = lines
        yield f"```\n{textwrap.dedent(rest)}\n```"
