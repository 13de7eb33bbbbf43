"""The layout of the help: sections and examples. app.py decides which commands it has, and their order."""

from collections.abc import Callable, Mapping, Sequence

import click

from embedtune.core.extras import missing_module

HELP_LINE = 45  # characters; a longer line would be cut


class SectionedGroup(click.Group):
    """A group whose help lists its commands in sections, in the order in which they were added."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own parameters
        self.sections: dict[str, tuple[str, ...]] = {}
        self._later: list[Callable[[], Mapping[str, Sequence[click.Command]]]] = []

    def add_later(self, find: Callable[[], Mapping[str, Sequence[click.Command]]]) -> None:
        """Add commands of other packages when a command is looked up first: those packages import this one."""
        self._later.append(find)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with a name."""
        self._complete()
        return super().get_command(ctx, cmd_name)

    def _complete(self) -> None:
        while self._later:
            self.add_sections(self._later.pop()())

    def add_sections(self, sections: Mapping[str, Sequence[click.Command]]) -> None:
        """Add commands.

        Args:
            sections: Commands by the title of their section.
        """
        for title, commands in sections.items():
            self.sections[title] = tuple(str(command.name) for command in commands)
            for command in commands:
                self.add_command(command)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a module of an extra that is missing is an error that names the extra."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if (known := missing_module(error)) is None:
                raise
            click.echo(f"error: {known}", err=True)
            ctx.exit(known.exit_code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the commands were added."""
        self._complete()
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list per section; all columns are aligned."""
        self._complete()
        width = max(map(len, self.commands))
        for title, names in self.sections.items():
            with formatter.section(title):
                rows = [(name.ljust(width), self.commands[name].get_short_help_str(HELP_LINE)) for name in names]
                formatter.write_dl(rows)


class OrderedGroup(click.Group):
    """A group whose help lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which the commands were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; in a narrow terminal a line is wrapped, where click would cut it."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(HELP_LINE)) for name, command in self.commands.items()]
            )


def as_typed(title: str, *lines: str) -> str:
    r"""Return a paragraph of help whose lines are never wrapped: click leaves what follows \b as it is."""
    return "\n".join(["\b", f"{title}:", *(f"  {line}" for line in lines)])


def examples(*lines: str) -> str:
    """Return the examples of a command, for the end of its help."""
    return as_typed("Examples", *lines)
