"""The command line: `embedtune search`."""

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
from embedtune.cli.options import FOLDER, build_config, config_options, output_options, secrets_of
from embedtune.cli.shell import err, out, reporting

if TYPE_CHECKING:
    from embedtune.local.search_index import SearchIndex

MODELS = {"both": ("base", "tuned"), "base": ("base",), "tuned": ("tuned",)}


@click.command()
@click.argument("work", type=FOLDER)
@click.argument("questions", nargs=-1)
@click.option("--model", type=click.Choice(list(MODELS)), default="both", show_default=True, help="Who answers.")
@click.option("-k", "--count", type=click.IntRange(1, 100), default=5, show_default=True, help="Results wanted.")
@click.option("--playground", type=FOLDER, help="Write here what the gateway's page shows, instead of answering.")
@config_options
@output_options
def search(
    work: Path,
    questions: tuple[str, ...],
    model: str,
    count: int,
    playground: Path | None,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Search the passages of WORK with base and tuned model; without QUESTIONS, answer them as they are typed."""
    with reporting(verbose) as progress:
        from embedtune.local.search_index import open_index, write_playground

        config = build_config(options, os.environ)
        index = open_index(work, MODELS[model], config, secrets_of(config, os.environ), progress)
        if playground is not None:
            write_playground(index, playground)
            err.print(f"to see it: python -m embedtune.serve.gateway --playground {playground}", soft_wrap=True)
            return
        for question in questions:
            _answer(index, question, count, as_json)
        if not questions:
            with suppress(KeyboardInterrupt):
                for question in _typed():
                    _answer(index, question, count, as_json)


def _answer(index: "SearchIndex", question: str, count: int, as_json: bool) -> None:
    found = index.search(question, count)
    record = {"query": question} | {name: [asdict(hit) for hit in hits] for name, hits in found.items()}
    if as_json:
        click.echo(json.dumps(record))  # a line a question, also while more are typed
    else:
        out.print(views.search_table(question, found))


def _typed() -> Iterator[str]:
    """Yield lines until the input ends; ask for them where somebody sits before it."""
    while True:
        if sys.stdin.isatty():
            err.print("question: ", end="", style="bold")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
