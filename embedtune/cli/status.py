"""The command `embedtune status`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FOLDER, config_options, output_options
from embedtune.cli.recorded_job import changed, job_of_artifacts, job_of_run
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.errors import InputError
from embedtune.core.formatting import duration, figure
from embedtune.core.stage import STAGE_NAMES
from embedtune.local.runner import LAST, Job

if TYPE_CHECKING:
    from embedtune.local.status import LLMWork, StageStatus, WorkStatus

STATES = {  # the words and the colour that a state is shown in
    "done": ("done", "green"),
    "stale": ("to do again", "yellow"),
    "depends": ("perhaps again", "cyan"),
    "missing": ("to do", "bold"),
    "damaged": ("damaged", "red"),
}
LATER = ("not asked for", "dim")
FIGURES = 3


@click.command(
    epilog=examples("embedtune status work", "embedtune status work --set train.epochs=5"),
)
@click.argument("work", type=FOLDER)
@config_options
@output_options
def status(work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Show what is done and what a run would do.

    Compares the artifacts in WORK with the documents, settings and code as they are now, and says why a stage
    would run again, what that would cost, and the command to type. The settings are those of the last `embedtune
    run` in WORK; --set changes one of them, --config or --preset replaces all. Nothing is run or written.
    """
    from embedtune.local.last_run import command_line, read_last_run
    from embedtune.local.status import work_status

    with reporting(verbose) as progress:
        if not work.is_dir():
            raise InputError("the work directory does not exist", got=str(work))
        recorded = read_last_run(work)
        run = None if recorded is None else changed(recorded, options)
        if run is not None and STAGE_NAMES.index(run.last) < STAGE_NAMES.index(LAST):
            run = run.model_copy(update={"last": LAST})  # a run that was told to stop early goes on
        job = job_of_artifacts(work, options) if run is None else job_of_run(work, run)
        found = work_status(job, progress, compared=run is not None)
        command = f"embedtune run DOCS --config FILE --work {work}"
        if run is not None:
            finished = not found.runs and not found.perhaps and job.last == LAST
            command = command_line(work, run, "export" if finished else job.last)
    show(
        {"work": str(work), "next": command, **asdict(found)},
        as_json,
        lambda: out.print(*_lines(found, job, command), sep="\n", soft_wrap=True),
    )


def _lines(found: "WorkStatus", job: Job, command: str) -> list[RenderableType]:
    """Return what is printed to the terminal."""
    lines: list[RenderableType] = [_table(found, job.last)]
    lines += [Text(f"! {remark}", "yellow") for remark in found.remarks]
    lines += [Text(sentence) for sentence in sentences(found, job)]
    return [*lines, Text.assemble(("next: ", "bold"), command)]


def _table(found: "WorkStatus", last: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    names = [one.stage for one in found.stages]
    for number, one in enumerate(found.stages):
        later = number > names.index(last)
        word, style = LATER if later and one.state == "missing" else STATES[one.state]
        table.add_row(Text(one.stage, "bold"), Text(word, style), _about(one))
    return table


def _about(one: "StageStatus") -> Text:
    text = Text("\n".join(one.reasons))
    if one.seconds is not None:
        figures = ", ".join(f"{name} {figure(count)}" for name, count in list(one.counts.items())[:FIGURES])
        cost = f", {one.cost_usd:.2f} USD" if one.cost_usd else ""
        text.append(f"{chr(10) if one.reasons else ''}{figures}  {duration(one.seconds)}{cost}", "dim")
    return text


def sentences(found: "WorkStatus", job: Job) -> list[str]:
    """Say what the next run would do, and what that costs."""
    if not found.runs and not found.perhaps:
        return [f"Everything up to {job.last} is up to date."]
    said = []
    for stages, when in (
        (found.runs, "The next run does"),
        (found.perhaps, "If what they read changes, it also does"),
    ):
        if stages:
            seconds = found.seconds(stages)
            took = f" ({duration(seconds)} last time)" if seconds is not None else ""
            said.append(f"{when} {', '.join(stages)}{took}.")
    replayed = job.config.generate.recording is not None
    if found.llm is not None:
        said.append(_llm_sentence(found.llm))
    elif "generate" in {*found.runs, *found.perhaps} and (replayed or "ingest" in found.runs):
        said.append(
            "No LLM is called: generate replays a recording."
            if replayed
            else "Its LLM calls can be counted after ingest: `embedtune estimate DOCS` does that."
        )
    return said


def _llm_sentence(llm: "LLMWork") -> str:
    if not llm.unpaid:
        return f"All replies to its {llm.calls:,} LLM calls are in the cache: it pays for none."
    price = "price unknown: set generate.llm.price_in and price_out" if llm.cost_usd is None else ""
    price = price or f"about {llm.cost_usd:.2f} USD"
    return f"It sends about {llm.unpaid:,} of its {llm.calls:,} LLM calls ({price}); the others are in the cache."
