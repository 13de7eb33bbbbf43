"""The command line. The only place in the library that prints or exits."""

from embedtune.cli.app import cli as cli
