"""`python -m embedtune.cli`."""

from embedtune.cli import cli

cli()
