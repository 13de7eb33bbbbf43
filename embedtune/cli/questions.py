"""The command `embedtune questions`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FILE, FOLDER, output_options
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.errors import ConfigError
from embedtune.report.questions_page import QUESTIONS_FILE

if TYPE_CHECKING:
    from embedtune.local.import_reviews import Imported
    from embedtune.local.question_table import QuestionTable

FORMATS = (".html", ".csv", ".jsonl")
LISTED = 5  # reasons for rejection that are printed


@click.command(
    epilog=examples("embedtune questions work", "embedtune questions work --import ~/Downloads/reviews.jsonl"),
)
@click.argument("work", type=FOLDER)
@click.option(
    "--output",
    type=FILE,
    help="File to write: a page (.html), a table for a spreadsheet (.csv), or JSON lines (.jsonl). "
    f"[default: {QUESTIONS_FILE} in WORK]",
)
@click.option(
    "--import", "decisions", type=FILE, metavar="FILE", help="Decisions to add: what the page saved, or the table."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=400,
    show_default=True,
    help="Number of kept questions on the page; test questions come first. Tables have all.",
)
@output_options
def questions(
    work: Path, output: Path | None, decisions: Path | None, limit: int, as_json: bool, verbose: bool
) -> None:
    """Read, accept, reject and edit questions.

    Writes a page on which a person reads the questions of WORK with answers, passages and scores, and those that
    were rejected, by reason. It needs no server and no network. With --import, the decisions made there take part
    in the next run, without any LLM call; once 50 test questions are accepted, they become an evaluation set.
    """
    with reporting(verbose):
        from embedtune.local.question_table import read_question_table

        if decisions is not None and output is not None:
            raise ConfigError("--import reads and --output writes", got="both", fix="one after the other")
        if output is not None and output.suffix.lower() not in FORMATS:
            raise ConfigError("unknown format", got=str(output), expected=f"a file name with {', '.join(FORMATS)}")
        table = read_question_table(work)
        if decisions is None:
            path = output or work / QUESTIONS_FILE
            _write(work, path, table, limit)
            record: dict[str, object] = {"written": str(path), "kept": table.kept, "rejected": table.rejected}
            lines = _about(table, path)
        else:
            record, lines = _import(work, decisions, table)
    show(record, as_json, lambda: out.print(*lines, sep="\n", soft_wrap=True, markup=False, highlight=False))


def _write(work: Path, path: Path, table: "QuestionTable", limit: int) -> None:
    from embedtune.local.checked_set import NEEDED
    from embedtune.local.question_table import page_of, records, write_table
    from embedtune.local.reviews import known_reviews
    from embedtune.report.questions_page import render_questions

    reviews = known_reviews(work)
    if path.suffix.lower() == FORMATS[0]:
        command = f"embedtune questions {work} --import ~/Downloads/reviews.jsonl"
        path.write_text(render_questions(page_of(table, reviews, limit, NEEDED, command)), encoding="utf-8")
    else:
        write_table(path, records(table, reviews))


def _about(table: "QuestionTable", path: Path) -> list[str]:
    from embedtune.local.question_table import reasons_of

    reasons = reasons_of(table)
    shown = ", ".join(f"{count} {text}" for text, count in reasons[:LISTED])
    more = f" and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    rejected = sum(table.rejected.values())
    return [
        f"{table.kept:,} questions kept, {rejected:,} rejected{f': {shown}{more}' if rejected else ''}",
        f"wrote {path}",
    ]


def _import(work: Path, decisions: Path, table: "QuestionTable") -> tuple[dict[str, object], list[str]]:
    from embedtune.local.checked_set import CHECKED_SET, NEEDED, checked_ids, write_checked_set
    from embedtune.local.import_reviews import import_reviews

    done = import_reviews(work, decisions, table)
    checked = len(checked_ids(table, done.reviews))
    written = write_checked_set(work, table, done.reviews) if checked >= NEEDED else 0
    record = asdict(done) | {"reviews": len(done.reviews), "test_questions_accepted": checked}
    record["evaluation_set"] = str(work / CHECKED_SET) if written else None
    return record, _outcome(work, done, checked, written)


def _outcome(work: Path, done: "Imported", checked: int, written: int) -> list[str]:
    from embedtune.local.checked_set import CHECKED_SET, NEEDED

    lines = [
        f"imported: {done.accepted} accepted ({done.edited} edited), {done.rejected} rejected, {done.cleared} "
        f"taken back; {len(done.reviews)} decisions in all"
    ]
    if done.unknown:
        lines.append(f"! {done.unknown} lines are about questions that are not in {work}; they are left out")
    extra: tuple[str, ...] = ()
    if written:
        lines.append(f"wrote {work / CHECKED_SET}: {written} test questions that a person has accepted")
        extra = (f"{CHECKED_SET}={(work / CHECKED_SET).absolute()}",)
    else:
        lines.append(f"test questions accepted: {checked} of {NEEDED}; then they become an evaluation set")
    return [*lines, f"next: {_next_command(work, extra)}"]


def _next_command(work: Path, sets: tuple[str, ...]) -> str:
    """Return the last run's command, with the evaluation set first, so that it decides the verdict."""
    from embedtune.local.last_run import command_line, read_last_run

    run = read_last_run(work)
    if run is None:
        added = "".join(f" --eval-set {pair}" for pair in sets)
        return f"embedtune run DOCS --config FILE --work {work}{added}"
    if run.command == "demo":  # it takes no evaluation sets
        run = run.model_copy(update={"command": "run"})
    others = tuple(pair for pair in run.eval_sets if pair not in sets)
    return command_line(work, run.model_copy(update={"eval_sets": (*sets, *others)}), run.last)
