"""The command line: the only package of the library that prints, draws and exits."""

import sys

from embedtune.core.extras import missing_module

try:
    from embedtune.cli.app import cli as cli
except ModuleNotFoundError as error:
    if (known := missing_module(error)) is None:
        raise
    sys.exit(f"error: {known}")
