"""The command line: the pipeline and what surrounds it."""

import os
import sys
import threading
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click

from embedtune import __version__
from embedtune.cli import views
from embedtune.cli.options import (
    build_config,
    build_job,
    config_options,
    evaluation_options,
    output_options,
    secrets_of,
    stage_command,
    work_option,
)
from embedtune.cli.shell import err, out, reporting, show
from embedtune.core.artifacts import StageReport
from embedtune.core.config.load import load_config, preset_names, preset_text
from embedtune.core.errors import ConfigError
from embedtune.core.progress import Progress
from embedtune.core.stage import STAGE_NAMES, STAGES, Context, StageSpec
from embedtune.local.runner import LAST, Job, run_stage
from embedtune.local.runner import run as run_job


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Turn a folder of documents into an embedding model that knows them, with proof that it helped.

    Exit codes: 0 done, 2 wrong usage or input, 3 a gate failed, 1 anything else.
    """


@cli.command()
@click.argument("docs", required=False)
@config_options
@work_option()
@click.option("--from", "first", type=click.Choice(STAGE_NAMES), default="ingest", help="First stage.")
@click.option("--to", "last", type=click.Choice(STAGE_NAMES), default=LAST, help="Last stage.")
@click.option(
    "--dataset", type=click.Path(file_okay=False, path_type=Path), help="Labelled data of your own (BEIR)."
)
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N documents.")
@evaluation_options
@click.option(
    "--fail-on", type=click.Choice(["marginal", "regression"]), help="Exit with 3 on this verdict or worse."
)
@click.option("--force", is_flag=True, help="Run the stages even when they are up to date.")
@click.option("--yes", is_flag=True, help="Spend without asking.")
@output_options
def run(docs: str | None, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Run all stages on DOCS (a folder or s3://bucket/prefix), then say whether it helped.

    Interrupted anywhere and run again, it resumes; no LLM call is paid twice.
    """
    with reporting(verbose) as progress:
        if options["fail_on"] and STAGE_NAMES.index(options["last"]) < STAGE_NAMES.index("evaluate"):
            raise ConfigError(
                "--fail-on needs a verdict", got=f"--to {options['last']}", expected="--to evaluate or later"
            )
        config = build_config(options, os.environ)
        job = build_job(docs, work, config, options, os.environ)
        _execute(job, progress, as_json, fail_on=options["fail_on"], yes=options["yes"])


@cli.command()
@work_option("demo")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting.")
@click.option("--to", "last", type=click.Choice(STAGE_NAMES), default=LAST, help="Last stage.")
@output_options
def demo(work: Path, overrides: tuple[str, ...], last: str, as_json: bool, verbose: bool) -> None:
    """Run all stages on the sample handbook, and judge the result on questions written by hand."""
    from embedtune.sample import HANDBOOK, build_handwritten_set

    with reporting(verbose) as progress:
        config = load_config("demo-cpu", overrides)
        options: dict[str, Any] = {"last": "ingest"}
        if last != "ingest":
            _execute(
                build_job(str(HANDBOOK), work, config, options, os.environ), progress, as_json=False, quiet=True
            )
            build_handwritten_set(work)
            options = {"last": last, "eval_sets": (f"handwritten={work / 'handwritten'}",)}
        _execute(build_job(str(HANDBOOK), work, config, options, os.environ), progress, as_json, yes=True)


@cli.command()
@click.argument("docs")
@config_options
@work_option()
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N documents.")
@output_options
def estimate(docs: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Say what a run on DOCS would cost, before anything is spent."""
    from embedtune.local.estimate import estimate_run

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        result = estimate_run(build_job(docs, work, config, {"last": "ingest"}, os.environ), progress)
    show(asdict(result), as_json, lambda: out.print(views.estimate_table(result)))


@cli.command()
@config_options
@work_option()
@output_options
def doctor(work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Check endpoint, model, GPU, disk and memory; say what is wrong and how to mend it."""
    from embedtune.local.doctor import examine

    with reporting(verbose):
        config = build_config(options, os.environ)
        findings = examine(config, secrets_of(config, os.environ), work)
    show([asdict(finding) for finding in findings], as_json, lambda: out.print(views.findings_table(findings)))
    if any(finding.status == "wrong" for finding in findings):
        sys.exit(1)


@cli.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="embedtune.yaml")
@click.option("--preset", default="minilm", show_default=True, help=f"One of {', '.join(preset_names())}.")
def init(path: Path, preset: str) -> None:
    """Write a commented configuration to PATH, to be changed and used with --config."""
    with reporting(verbose=False):
        if path.exists():
            raise ConfigError(f"{path} is there already", fix="choose another name; nothing was changed")
        path.write_text(preset_text(preset))
    out.print(f"{path} written. Next: embedtune run DOCS --config {path}", soft_wrap=True)


@cli.command()
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
def report(work: Path) -> None:
    """Render report.html and the model card from whatever artifacts stand in WORK."""
    from embedtune.report.page import render_report

    with reporting(verbose=False):
        path = render_report(work)
    out.print(str(path), soft_wrap=True)


@cli.command("eval-set")
@click.argument("questions", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--chunks", required=True, type=click.Path(file_okay=False, path_type=Path), help="Artifact of ingest."
)
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="BEIR directory.")
def eval_set(questions: Path, chunks: Path, output: Path) -> None:
    """Build a BEIR set from QUESTIONS written by hand: JSON lines with quoted answers."""
    from embedtune.evaluate.quoted import build_quoted_set

    with reporting(verbose=False):
        counts = build_quoted_set(questions, chunks, output)
    out.print(f"{output}: {', '.join(f'{count} {name}' for name, count in counts.items())}", soft_wrap=True)


@cli.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@config_options
@work_option()
@click.option("--license", "licence", required=True, help="Licence of the model whose replies are recorded.")
def record(output: Path, work: Path, licence: str, **options: Any) -> None:
    """Export the LLM replies of a finished generate stage to OUTPUT, to be replayed elsewhere."""
    from embedtune.generate.recording import export_recording

    with reporting(verbose=False):
        today = date.today().isoformat()
        count = export_recording(
            work / "chunks", work / "cache", output, build_config(options, os.environ), licence, today
        )
    out.print(f"{output}: {count} replies", soft_wrap=True)


@cli.command("local-llm")
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--port", default=8080, show_default=True, help="On 127.0.0.1.")
@click.option("--parallel", default=2, show_default=True, help="Requests at a time.")
def local_llm(model: Path, port: int, parallel: int) -> None:
    """Serve MODEL (a GGUF file) as an OpenAI-compatible endpoint on this machine, until Ctrl-C."""
    from embedtune.local.llm_server import serve

    with reporting(verbose=False):
        out.print(f"--set generate.llm.base_url=http://127.0.0.1:{port}/v1 --set generate.llm.model={model.stem}")
        serve(model, port, parallel, threading.Event())


def _single(stage: StageSpec, options: dict[str, Any]) -> None:
    """Run one stage on explicit inputs and outputs."""
    with reporting(options["verbose"]) as progress:
        output: Path = options["output"]
        job = build_job(options.get("docs"), output.parent, build_config(options, os.environ), options, os.environ)
        at = {name: options[name] for name in stage.inputs} | {stage.artifact: output}
        cache = options["cache"] or output.parent / "cache"
        context = Context(job.config, job.secrets, progress, cache)
        if stage.name == "generate" and not options["yes"]:
            _confirm_cost(job, at["chunks"], cache)
        done = run_stage(stage.name, at, context, job.source, job.comparisons)
    show(asdict(done), options["as_json"], lambda: err.print(views.stage_line(done), soft_wrap=True))


for _stage in STAGES:
    cli.add_command(stage_command(_stage, _single))


def _execute(
    job: Job,
    progress: Progress,
    as_json: bool,
    *,
    fail_on: str | None = None,
    yes: bool = False,
    quiet: bool = False,
) -> None:
    """Run a job, show each stage's line, then the verdict; exit with 3 when the verdict is refused."""

    def before(stage: StageSpec, progress: Progress) -> None:
        if stage.name == "generate" and not yes:
            _confirm_cost(job, job.work / "chunks", job.work / "cache")

    def after(done: StageReport) -> None:
        if not quiet:
            err.print(views.stage_line(done), soft_wrap=True)

    reports = run_job(job, progress, before, after)
    if quiet:
        return
    from embedtune.report.page import render_report

    page = render_report(job.work)
    summary = views.Summary.of(job.work, reports, page, evaluated=LAST in [stage.name for stage in job.stages()])
    show(summary.as_json(), as_json, lambda: out.print(*summary.as_text(), sep="\n", soft_wrap=True))
    if summary.fails(fail_on):
        sys.exit(3)


def _confirm_cost(job: Job, chunks: Path, cache: Path) -> None:
    """Ask before a large sum is spent; what an earlier run has paid, or a recording answers, costs nothing."""
    from embedtune.generate.estimate import estimate_calls, unpaid_share

    settings = job.config.generate
    prices = (settings.llm, settings.judge or settings.llm)
    if not any(endpoint.price_in or endpoint.price_out for endpoint in prices):
        return
    share = unpaid_share(chunks, job.config, cache)
    cost = share * estimate_calls(chunks, job.config, job.secrets, cache).cost_usd if share else 0.0
    if cost <= settings.confirm_above:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"generating questions would cost about {cost:.2f} USD",
            expected=f"at most generate.confirm_above = {settings.confirm_above:.2f} without asking",
            fix="add --yes, or raise generate.confirm_above",
        )
    click.confirm(f"Generating questions costs about {cost:.2f} USD. Go on?", abort=True, err=True)
