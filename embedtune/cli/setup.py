"""Commands before and after a run: `init`, `local-llm`, `doctor`, `estimate` and `report`."""

import os
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from embedtune.cli import views
from embedtune.cli.help_layout import examples
from embedtune.cli.options import (
    FILE,
    FOLDER,
    PRESET,
    build_config,
    build_job,
    config_options,
    evaluation_options,
    last_stage_option,
    limit_option,
    output_options,
    work_option,
)
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.config.load import load_config
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_of


@click.command(
    epilog=examples(
        "embedtune init docs --llm-url http://127.0.0.1:8080/v1 --llm-model NAME",
        "embedtune init docs --base gte-small --output mine.yaml",
    ),
)
@click.argument("docs", required=False)
@click.option(
    "--output", type=FILE, default="embedtune.yaml", show_default=True, help="File to write; it must not exist."
)
@click.option(
    "--preset", type=PRESET, default="minilm", show_default=True, help="Shipped configuration to start from."
)
@click.option(
    "--base",
    metavar="MODEL",
    help="Base model: a name that --base of the other commands knows, or a hub id, a directory, s3://… or "
    "package:NAME, whose contract is written from its own files.",
)
@click.option("--revision", metavar="COMMIT", help="Commit of the hub repository that --base names.")
@click.option("--llm-url", metavar="URL", help="OpenAI-compatible LLM endpoint, usually ending in /v1.")
@click.option("--llm-model", metavar="NAME", help="Name of the model there.")
@click.option(
    "--api-key-env",
    metavar="VARIABLE",
    default="OPENAI_API_KEY",
    show_default=True,
    help="Environment variable that holds the key of the LLM endpoint.",
)
@click.option("--domain", metavar="TEXT", help="What the documents are, for the LLM.")
def init(
    docs: str | None, output: Path, preset: str, base: str | None, revision: str | None, **given: Any
) -> None:
    """Write a commented configuration file.

    It is for the documents in DOCS. On a terminal it asks for what is not given; an empty answer leaves a setting
    open. It looks at the documents and ends with the command to run next.
    """
    from embedtune.local.first_config import Answers, look_at, next_steps, with_answers
    from embedtune.local.own_contract import preset_for_a_file

    with reporting(verbose=False) as progress:
        if output.exists():
            raise ConfigError(
                f"{output} already exists", fix="name another file with --output; nothing was changed"
            )
        if docs is not None and Path(docs).suffix in (".yaml", ".yml"):
            raise ConfigError(
                "DOCS is the folder of documents", got=docs, fix=f"embedtune init DOCS --output {docs}"
            )
        text = preset_for_a_file(preset) if base is None else _own_config(preset, base, revision)
        docs, answers = _asked(docs, Answers(**given)) if sys.stdin.isatty() else (docs, Answers(**given))
        if docs is not None and not docs.startswith("s3://"):
            err.print(look_at(Path(docs), progress), soft_wrap=True)
        output.write_text(with_answers(text, answers), encoding="utf-8")
    out.print(f"wrote {output}; next:", soft_wrap=True)
    for step in next_steps(docs, output, answers, os.environ):
        out.print(f"  {step}", soft_wrap=True, markup=False)


def _asked(docs: str | None, given: Any) -> tuple[str | None, Any]:
    """Ask for what was not given; an empty answer is none."""

    def ask(question: str, known: str | None) -> str | None:
        return known or click.prompt(question, default="", show_default=False, err=True).strip() or None

    docs = ask("Folder of documents", docs)
    answers = replace(
        given,
        llm_url=ask("LLM endpoint, such as http://127.0.0.1:8080/v1", given.llm_url),
        llm_model=ask("Name of the model there", given.llm_model),
        domain=ask("What the documents are, such as 'rental contracts'", given.domain),
    )
    return docs, answers


def _own_config(preset: str, base: str, revision: str | None) -> str:
    from embedtune.local.own_contract import config_text

    return config_text(preset, base, revision, secrets_of(load_config(preset).generate, os.environ))


@click.command(
    "local-llm",
    epilog=examples("embedtune local-llm qwen.gguf", "embedtune local-llm qwen.gguf --port 9000 --parallel 4"),
)
@click.argument("model", type=FILE)
@click.option("--port", default=8080, show_default=True, help="Port on 127.0.0.1.")
@click.option("--parallel", default=2, show_default=True, help="Number of requests answered at the same time.")
def local_llm(model: Path, port: int, parallel: int) -> None:
    """Serve a GGUF model as a local LLM endpoint.

    The endpoint is compatible with OpenAI's API and runs until Ctrl-C. MODEL is a GGUF file. Needs the extra
    local-llm (xllamacpp).
    """
    from embedtune.local.llm_server import serve

    with reporting(verbose=False):
        settings = f"--set generate.llm.base_url=http://127.0.0.1:{port}/v1 --set generate.llm.model={model.stem}"
        serve(model, port, parallel, threading.Event(), lambda: out.print(settings, soft_wrap=True, markup=False))


@click.command(
    epilog=examples("embedtune doctor docs --config embedtune.yaml", "embedtune doctor docs --to deploy --json")
)
@click.argument("docs", required=False)
@config_options
@work_option()
@last_stage_option
@evaluation_options
@output_options
def doctor(docs: str | None, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Check all that a run will need.

    Checks what `embedtune run` with the same options would check, and more slowly: the work directory, DOCS, the
    base model, the LLM endpoints by real calls, GPU, memory, disk, and with --to the software of export and the
    place that deploy writes to. Says how to fix what is wrong, and exits with code 1 if anything is.
    """
    from embedtune.local.preflight.checks import examine

    with reporting(verbose):
        job = build_job(docs, work, build_config(options, os.environ), options, os.environ)
        findings = examine(job.intended(thorough=True))
    data = [finding.as_json() for finding in findings]
    show(data, as_json, lambda: out.print(views.findings_table(findings)))
    if any(finding.status == "wrong" for finding in findings):
        sys.exit(1)


@click.command(
    epilog=examples("embedtune estimate docs", "embedtune estimate docs --config embedtune.yaml --limit 100")
)
@click.argument("docs")
@config_options
@work_option()
@limit_option
@click.option("--sample", type=click.IntRange(0, 1000), default=0, help="LLM calls to send and measure.")
@output_options
def estimate(docs: str, work: Path, sample: int, as_json: bool, verbose: bool, **options: Any) -> None:
    """Estimate what a run would cost.

    Counts chunks, LLM calls and tokens of DOCS and measures the training speed of this machine. Calls no LLM,
    except with --sample: then some calls are sent, their tokens are measured, and the run finds their replies.
    The chunks stay in --work for the run.
    """
    from embedtune.local.estimate import estimate_run

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        result = estimate_run(build_job(docs, work, config, {"last": "ingest"}, os.environ), progress, sample)

    def display() -> None:
        out.print(views.estimate_table(result), soft_wrap=True)
        for remark in result.remarks:
            out.print(f"! {remark}", style="yellow", markup=False, soft_wrap=True)

    show(asdict(result), as_json, display)


@click.command(epilog=examples("embedtune report work", "embedtune report demo"))
@click.argument("work", type=FOLDER)
def report(work: Path) -> None:
    """Render the HTML report and the model card.

    Both are written from the artifacts that exist in WORK, even after a run that did not finish.
    """
    from embedtune.report.page import render_report

    with reporting(verbose=False):
        path = render_report(work)
    out.print(str(path), soft_wrap=True)
