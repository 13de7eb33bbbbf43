"""The command `embedtune search`."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli import views
from embedtune.cli.help_layout import examples
from embedtune.cli.options import FOLDER, OneOf, build_config, config_options, output_options
from embedtune.cli.reporting import err, out, reporting
from embedtune.core.secrets import secrets_of

if TYPE_CHECKING:
    from embedtune.local.search_index import SearchIndex

MODELS = {"both": ("base", "tuned"), "base": ("base",), "tuned": ("tuned",)}
WIDTH_IN_A_FILE = 120  # characters per line, for the passages of both models side by side


@click.command(
    epilog=examples(
        'embedtune search work "my rope is slipping on the hoist"',
        "embedtune search work --playground play",
    )
)
@click.argument("work", type=FOLDER)
@click.argument("questions", nargs=-1)
@click.option("--model", type=OneOf(list(MODELS)), default="both", show_default=True, help="Model to search with.")
@click.option(
    "-k", "--count", type=click.IntRange(1, 100), default=5, show_default=True, help="Number of results per model."
)
@click.option("--hybrid", is_flag=True, help="Join each model with a search by words (BM25).")
@click.option(
    "--playground",
    type=FOLDER,
    help="Write the data of the gateway's playground page to this directory instead of searching.",
)
@config_options
@output_options
def search(
    work: Path,
    questions: tuple[str, ...],
    model: str,
    count: int,
    hybrid: bool,
    playground: Path | None,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Search with the base and the tuned model.

    Shows for each of the QUESTIONS what the models find among the passages of WORK. Without QUESTIONS, reads them
    from the terminal or stdin, one per line.
    """
    with reporting(verbose) as progress:
        from embedtune.local.search_index import open_index, write_playground

        config = build_config(options, os.environ)
        index = open_index(work, MODELS[model], config, secrets_of(config.generate, os.environ), progress)
        if playground is not None:
            write_playground(index, playground)
            err.print(
                f"wrote {playground}; next: embedtune gateway --playground {playground}",
                soft_wrap=True,
            )
            return
        for question in questions:
            _answer(index, question, count, hybrid, as_json)
        if not questions:
            with suppress(KeyboardInterrupt):
                for question in _typed():
                    _answer(index, question, count, hybrid, as_json)


def _answer(index: "SearchIndex", question: str, count: int, hybrid: bool, as_json: bool) -> None:
    found = index.search(question, count, hybrid)
    record = {"query": question} | {name: [asdict(hit) for hit in hits] for name, hits in found.items()}
    if as_json:
        click.echo(json.dumps(record))  # one line per question, written before the next one is read
    else:
        out.print(views.search_table(question, found), width=None if out.is_terminal else WIDTH_IN_A_FILE)


def _typed() -> Iterator[str]:
    """Yield the lines of stdin that are not empty; show a prompt on a terminal."""
    while True:
        if sys.stdin.isatty():
            err.print("question: ", end="", style="bold")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
