"""Code that the components' bodies share: it opens a stage's context and shows its report."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import yaml

from components.kept import Kind, kept
from embedtune.core.artifacts import StageReport
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.vector_file import require_vectors
from embedtune.core.errors import EmbedtuneError
from embedtune.core.formatting import duration, figure
from embedtune.core.machine_errors import as_machine_error
from embedtune.core.progress import LineProgress
from embedtune.core.secrets import secrets_of
from embedtune.core.signals import interrupt_on_sigterm
from embedtune.core.stage import Context
from embedtune.serve.store.directory import open_objects

log = logging.getLogger(__name__)


class FileOutput(Protocol):
    """The part of `dsl.Markdown` that is used here; this module does not import KFP."""

    path: str


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the task with the words of an error of ours, the last lines of its log, instead of KFP's traceback."""
    try:
        yield
    except EmbedtuneError as error:
        log.error("%s: %s", type(error).__name__, error)
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if (known := as_machine_error(error)) is None:
            raise
        log.error("%s", known)
        raise SystemExit(known.exit_code) from None


@contextmanager
def open_context(
    config_yaml: str, cache_dir: str = "", keeps: Kind | None = None, base_vectors: Path | None = None
) -> Iterator[Context]:
    """Open the context of one stage. From then on SIGTERM, which cancels a task, raises KeyboardInterrupt.

    Args:
        config_yaml: The configuration, as `prepare` wrote it.
        cache_dir: Directory that outlives the pod; empty: a temporary directory.
        keeps: What of the cache is kept in the object store too, if `storage.kept` names a place.
        base_vectors: The artifact written by encode; its hash is verified.

    Raises:
        SystemExit: The configuration is not valid, or the stage raised another error of ours.
    """
    # KFP's executor lets every library log at INFO: one line per LLM call would drown the progress lines.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("embedtune").setLevel(logging.INFO)
    interrupt_on_sigterm()
    with plain_errors(), tempfile.TemporaryDirectory(prefix="embedtune-") as temporary:
        config = parse_config(yaml.safe_load(config_yaml))
        if base_vectors is not None:
            require_vectors(base_vectors)
        # Kubernetes Secrets are environment variables here.
        secrets = secrets_of(config.generate, os.environ)
        cache, place = Path(cache_dir or temporary), config.storage.kept
        with kept(open_objects(place, config.storage, secrets) if place else None, cache, keeps):
            yield Context(config, secrets, LineProgress(), cache, base_vectors=base_vectors)


def show(report: StageReport, summary: FileOutput, remark: str = "") -> None:
    """Write a stage's report as the Markdown page that the KFP UI shows.

    Args:
        report: The report.
        summary: The output of the component.
        remark: A sentence to begin with.
    """
    Path(summary.path).write_text(markdown(report, remark), encoding="utf-8")


def markdown(report: StageReport, remark: str = "") -> str:
    """Return a report as Markdown, without HTML, which the KFP UI does not render."""
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in report.metrics.items()]
    lines = [
        f"# {report.stage}",
        "",
        *([remark, ""] if remark else []),
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
    ]
    lines += [f"- {note}" for note in report.notes]
    lines += ["", f"{duration(report.seconds)}{_cost(report)}"]
    return "\n".join(lines) + "\n"


def _cost(report: StageReport) -> str:
    """Return the cost, if there is a known one: without prices it would be 0, which is not what was paid."""
    return f", {report.cost_usd:.2f} USD" if report.cost_usd else ""


def _cell(value: float | int | str) -> str:
    return figure(value).replace("|", "\\|").replace("\n", " ")
