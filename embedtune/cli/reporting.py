"""Shared by the commands: consoles to print to, and how errors and signals become messages and exit codes."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.logging import RichHandler

from embedtune.cli.console import UNFOLDED, TerminalProgress
from embedtune.core.errors import ConfigError, EmbedtuneError, GateError
from embedtune.core.machine_errors import as_machine_error
from embedtune.core.progress import LineProgress, Progress
from embedtune.core.repeats import Repeats
from embedtune.core.signals import interrupt_on_sigterm


def _console(*, stderr: bool = False) -> Console:
    """Return a console that folds tables at the edge of a terminal (or at COLUMNS) and nowhere else."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNFOLDED
    return console


out = _console()
err = _console(stderr=True)
log = logging.getLogger("embedtune")
INTERRUPTED = 130
EXIT_CODES = {
    0: "done",
    EmbedtuneError.exit_code: "something failed, or doctor found a problem",
    ConfigError.exit_code: "wrong usage: an option, a setting or a path",
    GateError.exit_code: "a gate or a run in Kubeflow failed, or the verdict triggered --fail-on",
    INTERRUPTED: "interrupted; run the command again to resume",
}


def show(value: object, as_json: bool, draw: Callable[[], object]) -> None:
    """Print a result: as JSON, or by calling `draw`."""
    if as_json:
        click.echo(json.dumps(value, indent=2, default=str))
    else:
        draw()


@contextmanager
def reporting(verbose: bool) -> Iterator[Progress]:
    """Set up logging and progress; end the process with a message and an exit code on an error."""
    handler = _handler(verbose)
    handler.setLevel(logging.DEBUG if verbose else logging.INFO)  # some libraries set their own level to DEBUG
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    repeats = Repeats()
    if not verbose:
        handler.addFilter(repeats)
        logging.captureWarnings(capture=True)
    if not verbose:  # it logs every retry; the error message gives the outcome
        logging.getLogger("urllib3").setLevel(logging.ERROR)
    interrupt_on_sigterm()
    try:
        yield TerminalProgress(err) if err.is_terminal else LineProgress()
    except EmbedtuneError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except Exception as error:  # anything but the machine's own refusals is a defect
        if (known := as_machine_error(error)) is None:
            raise
        log.debug("the error in detail", exc_info=True)
        err.print(f"error: {known}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(known.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to resume")
        sys.exit(INTERRUPTED)
    finally:
        repeats.say(handler)
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(handler)


def _handler(verbose: bool) -> logging.Handler:
    """Return a handler that wraps lines at the edge of a terminal, and in a file leaves them whole."""
    if err.is_terminal:
        handler: logging.Handler = RichHandler(console=err, show_path=verbose, show_level=verbose, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s", "%H:%M:%S"))
        return handler
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s {'%(levelname)s ' if verbose else ''}%(message)s", "%H:%M:%S")
    )
    return handler
