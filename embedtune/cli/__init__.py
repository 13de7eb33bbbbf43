"""The command line. The only place in the library that prints or exits."""

from embedtune.cli.app import cli as cli
from embedtune.cli.serving import add_serving_commands

add_serving_commands(cli)
