"""The command `bases`: which base model finds most, before one of them is trained."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli.console import FigureTable, interval_cell, table
from embedtune.cli.cost import confirm_cost
from embedtune.cli.help_layout import examples
from embedtune.cli.options import (
    build_config,
    build_job,
    limit_option,
    output_options,
    settings_options,
    work_option,
    yes_option,
)
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.artifacts import MANIFEST
from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.formatting import counted
from embedtune.core.progress import Progress
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.stage import Context, StageSpec
from embedtune.local.runner import Job, locked, run

if TYPE_CHECKING:
    from embedtune.core.records.evaluation import Interval
    from embedtune.local.bases import BakeOff, SetScore

RECALL = "recall@10"


@click.command(
    epilog=examples(
        "embedtune bases work --base all-minilm-l6 --base ./models/gte-small --tune",
        "embedtune bases --eval-set ours=ours --base all-minilm-l6 --base package:my_model",
    )
)
@click.argument("source", required=False, metavar="[DOCS|WORK]")
@click.option(
    "--base",
    "names",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="Base model to compare, once for each: a name that --base of `run` knows, a hub id, a directory, "
    "s3://… or package:NAME. For a model of the hub: NAME@COMMIT.",
)
@click.option(
    "--eval-set", "eval_sets", multiple=True, metavar="NAME=DIR", help="Additional test set in BEIR format."
)
@click.option(
    "--tune",
    is_flag=True,
    help="Also train each base model once, with the settings of --preset; says first how long that takes.",
)
@settings_options
@work_option()
@limit_option
@yes_option
@output_options
def bases(
    source: str | None,
    names: tuple[str, ...],
    tune: bool,
    work: Path,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Compare base models before training one.

    Measures them as they are, on the same test questions: those of a run in WORK, those that are first generated
    about DOCS, or only those of --eval-set. With --tune, each is also trained on the train questions, and measured
    again; the models are kept in WORK/bases.
    """
    from pydantic import TypeAdapter

    from embedtune.local.bases import BakeOff, Training, compare_bases

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        finished = source is not None and (Path(source) / "dataset").is_dir()
        work = Path(source) if source is not None and finished else work
        job = build_job(source, work, config, {**options, "last": "split"}, os.environ)
        context = Context(job.config, job.secrets, progress, work / "cache")
        if source is not None and not finished:
            _prepare(job, context, ask=not options["yes"])
        own = {} if source is None else {SYNTHETIC: work / "dataset"}
        sets = own | job.comparisons.eval_sets
        if not sets:
            raise InputError(
                "there are no questions to compare on",
                expected="a work directory, a folder of documents, or --eval-set NAME=DIR",
            )
        if tune and not own:
            raise ConfigError(
                "--tune needs questions to train on",
                got="--eval-set alone",
                expected="a work directory with a dataset, or a folder of documents",
            )
        training = Training(own[SYNTHETIC], work) if tune else None
        with locked(work) if tune else nullcontext():
            result = compare_bases(names, sets, context, training)
    show(
        TypeAdapter(BakeOff).dump_python(result, mode="json"),
        as_json,
        lambda: out.print(*tables(result), sep="\n", soft_wrap=True),
    )


def _prepare(job: Job, context: Context, *, ask: bool) -> None:
    """Write questions about documents.

    Raises:
        InputError: The documents are a work directory in which no run has come as far as questions.
    """
    if (Path(job.source or "") / "chunks" / MANIFEST).is_file():
        raise InputError(
            "there are no test questions in this work directory yet",
            got=job.source,
            expected="a work directory with a dataset, or a folder of documents",
            fix=f"embedtune run DOCS --to split --work {job.source}",
        )

    def before(stage: StageSpec, progress: Progress) -> None:
        if stage.name == "generate" and ask:
            confirm_cost(job.work / "chunks", context)

    run(job, context.progress, before)


def tables(result: "BakeOff") -> list[FigureTable]:
    """Return one table about the models, and one for each set."""
    facts = [
        [
            one.name,
            f"{one.model.parameters / 1e6:,.1f} M",
            f"{one.model.dimension} numbers",
            f"{one.model.max_length} tokens",
            f"{1000 * one.model.seconds_per_passage:,.1f} ms",
            one.model.licence or "not stated",
        ]
        for one in result.scores
        if one.model is not None
    ]
    headers = ["base model", "weights", "vector", "reads", "per passage", "licence"]
    return [table(headers, facts), *(_set_table(name, result) for name in result.questions)]


def _set_table(name: str, result: "BakeOff") -> FigureTable:
    trained = any(one.tuned for one in result.scores)
    rows = []
    for one in result.scores:
        rows.append(_row(one.name, one.sets[name], trained))
        if one.tuned:
            rows.append(_row("  tuned", one.tuned[name], trained))
    questions, families = result.questions[name], result.families[name]
    headers = ["", DECIDING_METRIC, RECALL, f"- {result.scores[1].name}", "interval"]
    about = f"{counted(questions, 'question')}, {counted(families, 'family', 'families')} of documents"
    return table(
        headers + (["- untuned", "interval"] if trained else []),
        rows,
        title=f"\n{name}: {about}",
    )


def _row(name: str, score: "SetScore", trained: bool) -> list[str]:
    row = [
        name,
        *(f"{score.metrics[metric]:.4f}" for metric in (DECIDING_METRIC, RECALL)),
        *_cells(score.difference),
    ]
    return row + _cells(score.gain) if trained else row


def _cells(gap: "Interval | None") -> list[str]:
    if gap is None:
        return ["", ""]
    return [f"{gap.mean:+.4f}", interval_cell(gap)]
