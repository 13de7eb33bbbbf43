"""Commands that prepare data: `eval-set` and `record`."""

import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FILE, FOLDER, build_config, config_options, work_option
from embedtune.cli.reporting import err, out, reporting


@click.command(
    "eval-set",
    epilog=examples(
        "embedtune eval-set questions.jsonl --chunks work/chunks --output ours",
        "embedtune eval-set --from-feedback feedback --chunks work/chunks --output asked",
    ),
)
@click.argument("questions", type=FILE, required=False)
@click.option("--chunks", required=True, type=FOLDER, help="Chunks artifact, written by ingest.")
@click.option("--output", required=True, type=FOLDER, help="Directory to write the BEIR set to.")
@click.option(
    "--from-feedback",
    "place",
    metavar="PLACE",
    help="Instead of QUESTIONS: what a gateway recorded (its --feedback); a directory, a file or s3://bucket/prefix.",
)
@click.option(
    "--min-choices",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Feedback: an answer counts if it was chosen for the same question in N records.",
)
@click.option("--held-out", is_flag=True, help="Feedback: leave out questions that a train document answers.")
@config_options
def eval_set(questions: Path | None, place: str | None, chunks: Path, output: Path, **options: Any) -> None:
    """Build a BEIR set from questions of people.

    QUESTIONS is a file of JSON lines; each question quotes its answer from a document, or only names the document
    (the set is then judged by document). With --from-feedback, the questions are those that people asked, answered
    by what they chose. Evaluate on the set with `--eval-set NAME=DIR`. The configuration is only read for the
    address of the object store (storage).
    """
    if (questions is None) == (place is None):
        raise click.UsageError("give QUESTIONS or --from-feedback PLACE")
    with reporting(verbose=False):
        if questions is not None:
            from embedtune.evaluate.quoted_set import build_quoted_set

            counts: dict[str, int] = build_quoted_set(questions, chunks, output)
            notes: tuple[str, ...] = ()
        else:
            counts, notes = _from_feedback(str(place), chunks, output, options)
    for note in notes:
        err.print(f"! {note}", soft_wrap=True, markup=False, highlight=False)
    out.print(f"{output}: {', '.join(f'{count} {name}' for name, count in counts.items())}", soft_wrap=True)


def _from_feedback(
    place: str, chunks: Path, output: Path, options: dict[str, Any]
) -> tuple[dict[str, int], tuple[str, ...]]:
    from embedtune.core.retrieval.chosen_answers import feedback_files
    from embedtune.core.secrets import secrets_of
    from embedtune.evaluate.feedback_set import build_feedback_set

    rules = {"min_choices": options.pop("min_choices"), "held_out": options.pop("held_out")}
    config = build_config(options, os.environ)
    with tempfile.TemporaryDirectory(prefix="embedtune-") as downloads:
        secrets = secrets_of(config.generate, os.environ)
        files = feedback_files(place, Path(downloads), config.storage, secrets)
        built = build_feedback_set(files, chunks, output, **rules)
    return built.counts, built.notes


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
