"""The command line: the only package of the library that prints, draws and exits."""

from embedtune.cli.app import cli as cli
