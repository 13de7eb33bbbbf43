"""Code that the components' bodies share: it opens a stage's context and shows its report."""

import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import yaml

from embedtune.core.artifacts import StageReport
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.progress import LineProgress
from embedtune.core.secrets import Secrets, secrets_from
from embedtune.core.signals import interrupt_on_sigterm
from embedtune.core.stage import Context


class FileOutput(Protocol):
    """The part of `dsl.Markdown` that is used here; this module does not import KFP."""

    path: str


class MetricsOutput(FileOutput, Protocol):
    """The part of `dsl.Metrics` that is used here."""

    def log_metric(self, metric: str, value: float) -> None:
        """Store one figure."""


@contextmanager
def open_context(config_yaml: str, cache_dir: str = "") -> Iterator[Context]:
    """Open the context of one stage. From then on SIGTERM, which cancels a task, raises KeyboardInterrupt.

    Args:
        config_yaml: The configuration, as `prepare` wrote it.
        cache_dir: Directory that outlives the pod; empty: a temporary directory.

    Raises:
        ConfigError: The configuration is not valid.
    """
    # KFP's executor lets every library log at INFO: one line per LLM call would drown the progress lines.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("embedtune").setLevel(logging.INFO)
    interrupt_on_sigterm()
    config = parse_config(yaml.safe_load(config_yaml))
    with tempfile.TemporaryDirectory(prefix="embedtune-") as temporary:
        yield Context(config, environment_secrets(config), LineProgress(), Path(cache_dir or temporary))


def environment_secrets(config: Config) -> Secrets:
    """Read the credentials from the environment, where Kubernetes Secrets put them."""
    llm = config.generate.llm
    judge = config.generate.judge or llm
    return secrets_from(os.environ, llm_key_name=llm.api_key_env, judge_key_name=judge.api_key_env)


def show(report: StageReport, metrics: MetricsOutput, summary: FileOutput) -> None:
    """Write a stage's report where the KFP UI shows it: figures as metrics, everything as a Markdown page."""
    record = {**report.metrics, "seconds": report.seconds, "cost_usd": report.cost_usd}
    # KFP stores metrics as JSON numbers, so text and NaN are only on the page.
    figures = {
        name: value for name, value in record.items() if not isinstance(value, str) and math.isfinite(value)
    }
    for name, value in figures.items():
        metrics.log_metric(name, value)
    # KFP needs no file for metrics, but its local cache treats an output without a file as lost.
    Path(metrics.path).write_text(json.dumps(figures), encoding="utf-8")
    Path(summary.path).write_text(markdown(report), encoding="utf-8")


def markdown(report: StageReport) -> str:
    """Return a report as Markdown, without HTML, which the KFP UI does not render."""
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in report.metrics.items()]
    lines = [f"# {report.stage}", "", "| figure | value |", "|---|---|", *rows, ""]
    lines += [f"- {note}" for note in report.notes]
    lines += ["", f"{report.seconds:.0f} s, {report.cost_usd:.2f} USD"]
    return "\n".join(lines) + "\n"


def _cell(value: float | int | str) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
