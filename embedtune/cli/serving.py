"""The command line: releases, serving and search."""

import click


def add_serving_commands(cli: click.Group) -> None:
    """Add the commands of this module to the command line."""
