"""Commands before and after a run: `init`, `local-llm`, `doctor`, `estimate` and `report`."""

import os
import sys
import threading
from dataclasses import asdict
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
    limit_option,
    output_options,
    work_option,
)
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.config.load import load_config, preset_text
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_of


@click.command(
    epilog=examples("embedtune init", "embedtune init mine.yaml --base OWNER/NAME --revision COMMIT"),
)
@click.argument("path", type=FILE, default="embedtune.yaml")
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
def init(path: Path, preset: str, base: str | None, revision: str | None) -> None:
    """Write a commented configuration file.

    Edit the file at PATH (default: embedtune.yaml), then pass it to the other commands with --config.
    """
    with reporting(verbose=False):
        if path.exists():
            raise ConfigError(f"{path} already exists", fix="choose another name; the file was not changed")
        path.write_text(preset_text(preset) if base is None else _own_config(preset, base, revision))
    out.print(f"wrote {path}; next: embedtune run DOCS --config {path}", soft_wrap=True)


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
        out.print(f"--set generate.llm.base_url=http://127.0.0.1:{port}/v1 --set generate.llm.model={model.stem}")
        serve(model, port, parallel, threading.Event())


@click.command(epilog=examples("embedtune doctor --config embedtune.yaml", "embedtune doctor --json"))
@config_options
@work_option()
@output_options
def doctor(work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Check the model, LLM endpoint and hardware.

    Checks the base model, the LLM endpoints, GPU, memory and disk, and says how to fix what is wrong. Exits
    with code 1 if anything is wrong.
    """
    from embedtune.local.doctor import examine

    with reporting(verbose):
        config = build_config(options, os.environ)
        findings = examine(config, secrets_of(config.generate, os.environ), work)
    show([asdict(finding) for finding in findings], as_json, lambda: out.print(views.findings_table(findings)))
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
    """
    from embedtune.local.estimate import estimate_run

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        result = estimate_run(build_job(docs, work, config, {"last": "ingest"}, os.environ), progress, sample)
    show(asdict(result), as_json, lambda: out.print(views.estimate_table(result)))


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
