"""Commands that run several stages: `run` and `demo`."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from embedtune.cli import views
from embedtune.cli.cost import confirm_cost
from embedtune.cli.help_layout import examples
from embedtune.cli.options import (
    FOLDER,
    STAGE,
    OneOf,
    Options,
    build_config,
    build_job,
    config_options,
    evaluation_options,
    last_stage_option,
    limit_option,
    output_options,
    work_option,
    yes_option,
)
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.artifacts import StageReport
from embedtune.core.config.load import load_config
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.progress import Progress
from embedtune.core.records.last_run import LastRun
from embedtune.core.stage import STAGE_NAMES, Context, StageSpec
from embedtune.local.last_run import last_run, write_last_run
from embedtune.local.runner import LAST, Job
from embedtune.local.runner import run as run_job
from embedtune.local.track import track_result


@click.command(
    epilog=examples(
        "embedtune run docs --config embedtune.yaml --work work",
        "embedtune run --from mine --dataset labelled --work work --fail-on regression",
    )
)
@click.argument("docs", required=False)
@config_options
@work_option()
@click.option(
    "--from",
    "first",
    type=STAGE,
    metavar="STAGE",
    default=STAGE_NAMES[0],
    show_default=True,
    help=f"First stage to run: {', '.join(STAGE_NAMES)}.",
)
@last_stage_option
@click.option("--dataset", type=FOLDER, help="Your own labelled data in BEIR format, with --from mine.")
@limit_option
@evaluation_options
@click.option(
    "--fail-on",
    type=OneOf(["marginal", "regression"]),
    help=f"Exit with code {GateError.exit_code} if the verdict is this or worse.",
)
@click.option("--force", is_flag=True, help="Run stages even if they are up to date.")
@yes_option
@output_options
def run(docs: str | None, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Run all stages on a folder of documents.

    DOCS is a folder or s3://bucket/prefix. At the end, the verdict says whether tuning helped. An interrupted run
    resumes when it is started again; no LLM call is paid for twice.
    """
    with reporting(verbose) as progress:
        if options["fail_on"] and STAGE_NAMES.index(options["last"]) < STAGE_NAMES.index("evaluate"):
            raise ConfigError(
                "--fail-on needs a verdict", got=f"--to {options['last']}", expected="--to evaluate or later"
            )
        config = build_config(options, os.environ)
        job = build_job(docs, work, config, options, os.environ)
        asked = last_run("run", docs, options)
        _execute(job, progress, as_json, fail_on=options["fail_on"], yes=options["yes"], asked=asked)
    if not options["base"] and not options["config_file"] and (work / "dataset").is_dir():
        own = config.contract.base_model + (f"@{config.contract.revision}" if config.contract.revision else "")
        compare = f"embedtune bases {shlex.quote(str(work))} --base {own} --base OTHER"
        err.print(f"to compare other base models on the same questions: {compare}", soft_wrap=True, markup=False)


@click.command(epilog=examples("embedtune demo", "embedtune demo --work demo --to deploy"))
@work_option("demo")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting.")
@last_stage_option
@output_options
def demo(work: Path, overrides: tuple[str, ...], last: str, as_json: bool, verbose: bool) -> None:
    """Run all stages on the sample handbook.

    Needs no LLM: recorded replies are replayed. The tuned model is also evaluated on handwritten questions.
    """
    from embedtune.sample import HANDBOOK, build_handwritten_set

    with reporting(verbose) as progress:
        config = load_config("demo-cpu", overrides)
        options: Options = {"last": "ingest"}
        if last != "ingest":
            _execute(
                build_job(str(HANDBOOK), work, config, options, os.environ), progress, as_json=False, quiet=True
            )
            build_handwritten_set(work)
            options = {"last": last, "eval_sets": (f"handwritten={work / 'handwritten'}",)}
        job = build_job(str(HANDBOOK), work, config, options, os.environ)
        asked = last_run("demo", str(HANDBOOK), {**options, "preset": "demo-cpu", "overrides": overrides})
        _execute(job, progress, as_json, yes=True, asked=asked)


def _execute(
    job: Job,
    progress: Progress,
    as_json: bool,
    *,
    fail_on: str | None = None,
    yes: bool = False,
    quiet: bool = False,
    asked: LastRun | None = None,
) -> None:
    """Run a job, show one line per stage and then the verdict; exit if --fail-on refuses the verdict."""

    def before(stage: StageSpec, progress: Progress) -> None:
        if asked is not None:  # known to `embedtune status` even if the first stage fails
            write_last_run(job.work, asked)
        if stage.name == "generate" and not yes:
            confirm_cost(job.work / "chunks", Context(job.config, job.secrets, progress, job.work / "cache"))

    def after(done: StageReport) -> None:
        if not quiet:
            err.print(views.stage_line(done), soft_wrap=True)

    reports = run_job(job, progress, before, after)
    if quiet:
        return
    from embedtune.report.page import render_report

    page = render_report(job.work)
    track_result(job, page)
    summary = views.Summary.of(job.work, reports, page, evaluated=LAST in [stage.name for stage in job.stages()])
    show(summary.as_json(), as_json, lambda: out.print(*summary.as_text(), sep="\n", soft_wrap=True))
    if not as_json and reports[-1].stage == "deploy":
        from embedtune.cli.served import say_how_to_use

        say_how_to_use(reports[-1], job.config, os.environ)
    if summary.fails(fail_on):
        sys.exit(GateError.exit_code)
