"""The command `embedtune curve`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from embedtune.cli.console import FigureTable, interval_cell, table
from embedtune.cli.help_layout import examples
from embedtune.cli.options import FILE, FOLDER, OneOf, config_options, output_options
from embedtune.cli.recorded_job import changed, job_of_artifacts, job_of_run
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.errors import InputError
from embedtune.core.formatting import counted
from embedtune.core.records.base import write_record
from embedtune.core.records.curve import (
    CURVE_FILE,
    CURVE_FOLDER,
    KINDS,
    WHOLE,
    CurvePoint,
    Kind,
    LearningCurve,
    SetCurve,
)
from embedtune.core.stage import Context
from embedtune.local.runner import Job, check_stage, locked

if TYPE_CHECKING:
    from embedtune.core.records.evaluation import Interval

SHARES = (25, 50)


@click.command(
    epilog=examples("embedtune curve work", "embedtune curve work --share 50 --of questions --set train.seeds=3"),
)
@click.argument("work", type=FOLDER)
@click.option(
    "--share",
    "shares",
    multiple=True,
    type=click.IntRange(1, WHOLE - 1),
    default=SHARES,
    show_default=True,
    metavar="PERCENT",
    help="Share to train on, once for each; everything is always measured too.",
)
@click.option(
    "--of",
    "kinds",
    multiple=True,
    type=OneOf(KINDS),
    default=KINDS,
    help="What to take shares of: questions, documents. [default: both]",
)
@click.option(
    "--eval-set",
    "eval_sets",
    multiple=True,
    metavar="NAME=DIR",
    help="Test set in BEIR format. The first one decides; those of the last run are used without this option.",
)
@click.option("--estimate", is_flag=True, help="Only say how long it takes.")
@click.option("--output", type=FILE, metavar="FILE", help="Page to write. [default: WORK/curve.html]")
@config_options
@output_options
def curve(work: Path, estimate: bool, output: Path | None, as_json: bool, verbose: bool, **options: Any) -> None:
    """Show whether more data would help.

    Trains on shares of the questions and of the documents of a run in WORK and compares the models on the same
    test questions. Says whether more questions, more documents or neither would help, or that it cannot be told.
    A training that is finished is kept in WORK/curve: the same command goes on after an interruption.
    """
    shares, kinds = options.pop("shares"), options.pop("kinds")
    with reporting(verbose) as progress:
        from embedtune.local.curve.curve import Curve
        from embedtune.report.curve_page import render_curve

        if not (work / "dataset").is_dir():
            raise InputError(
                "there are no questions in this work directory",
                got=str(work),
                expected="a work directory in which a run came as far as its dataset",
                fix=f"embedtune run DOCS --to split --work {work}",
            )
        job = _job(work, options)
        context = Context(job.config, job.secrets, progress, work / "cache")
        check_stage("train", job, context)
        with locked(work):
            found = Curve(work, shares, kinds, job.comparisons.eval_sets, context)
            cost = found.cost()
            if estimate:
                show(asdict(cost), as_json, lambda: out.print(str(cost), soft_wrap=True))
                return
            err.print(str(cost), soft_wrap=True)
            measured = found.measure()
        write_record(work / CURVE_FOLDER / CURVE_FILE, measured)
        page = output or work / "curve.html"
        render_curve(measured, page)
    show(
        {"page": str(page), **measured.model_dump(mode="json")},
        as_json,
        lambda: out.print(*_lines(measured, page), sep="\n", soft_wrap=True),
    )


def _job(work: Path, options: dict[str, Any]) -> Job:
    """Return the job of the last run with the options of this command."""
    from embedtune.local.last_run import read_last_run

    recorded = read_last_run(work)
    if recorded is None:
        return job_of_artifacts(work, options)
    run = changed(recorded, options)
    if options["eval_sets"]:
        run = run.model_copy(update={"eval_sets": tuple(options["eval_sets"]), "decide_on": None})
    return job_of_run(work, run)


def _lines(found: LearningCurve, page: Path) -> list[RenderableType]:
    lines: list[RenderableType] = [
        _table(one, kind, one.curves[kind]) for one in found.sets for kind in one.curves
    ]
    lines += [Text(""), Text(found.conclusion, "bold")]
    lines += [Text(one.sentence) for one in found.answers.values()]
    if found.trainings == 1:
        lines.append(
            Text(
                "! one training per share: the chance in it is not part of the intervals (train.seeds=3)", "yellow"
            )
        )
    return [*lines, Text(f"page: {page}")]


def _table(one: SetCurve, kind: Kind, points: "tuple[CurvePoint, ...]") -> FigureTable:
    rows = []
    for point in points:
        share = "everything" if point.share == WHOLE else f"{point.share} % of the {kind}"
        counts = [f"{point.questions:,}", f"{point.families:,}"]
        rows.append([share, *counts, *_cells(point.gain), *(_cells(point.step) if point.step else ["", ""])])
    headers = ["", "questions", "families", "gain", "interval", "step", "interval"]
    return table(headers, rows, f"\n{escape(one.name)}: {counted(one.questions, 'question')}, base {one.base:.4f}")


def _cells(gap: "Interval") -> list[str]:
    return [f"{gap.mean:+.4f}", interval_cell(gap)]
