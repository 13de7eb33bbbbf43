"""`python -m embedtune`: the command line."""

from embedtune.cli import cli

cli()
