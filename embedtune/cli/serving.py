"""The command line: releases, serving and search."""

import click

from embedtune.cli.releases import reindex, release
from embedtune.cli.search import search
from embedtune.cli.serve import serve


def add_serving_commands(cli: click.Group) -> None:
    """Add the commands of this module to the command line."""
    cli.add_command(release)
    cli.add_command(reindex)
    cli.add_command(serve)
    cli.add_command(search)
