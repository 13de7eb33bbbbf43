"""Commands that prepare data: `eval-set` and `record`."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FILE, FOLDER, build_config, config_options, work_option
from embedtune.cli.reporting import out, reporting


@click.command(
    "eval-set",
    epilog=examples(
        "embedtune eval-set questions.jsonl --chunks work/chunks --output ours",
        "embedtune eval-set support.jsonl --chunks work/chunks --output support",
    ),
)
@click.argument("questions", type=FILE)
@click.option("--chunks", required=True, type=FOLDER, help="Chunks artifact, written by ingest.")
@click.option("--output", required=True, type=FOLDER, help="Directory to write the BEIR set to.")
def eval_set(questions: Path, chunks: Path, output: Path) -> None:
    """Build a BEIR set from handwritten questions.

    QUESTIONS is a file of JSON lines; each question quotes its answer from a document, or only names the document
    (the set is then judged by document). Evaluate on the set with `--eval-set NAME=DIR`.
    """
    from embedtune.evaluate.quoted_set import build_quoted_set

    with reporting(verbose=False):
        counts = build_quoted_set(questions, chunks, output)
    out.print(f"{output}: {', '.join(f'{count} {name}' for name, count in counts.items())}", soft_wrap=True)


@click.command(
    epilog=examples(
        "embedtune record replies.jsonl.gz --license Apache-2.0 --work work",
        "embedtune record replies.jsonl.gz --license MIT --config embedtune.yaml",
    )
)
@click.argument("output", type=FILE)
@config_options
@work_option()
@click.option("--license", "licence", required=True, help="Licence of the model that wrote the replies.")
def record(output: Path, work: Path, licence: str, **options: Any) -> None:
    """Save LLM replies so a run can replay them.

    Writes the replies of the finished generate stage in WORK to OUTPUT. A run with `generate.recording=OUTPUT`
    then needs no LLM.
    """
    from embedtune.generate.recording import export_recording

    with reporting(verbose=False):
        today = date.today().isoformat()
        count = export_recording(
            work / "chunks", work / "cache", output, build_config(options, os.environ), licence, today
        )
    out.print(f"{output}: {count} replies", soft_wrap=True)
