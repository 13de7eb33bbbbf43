"""Remembers the command that last ran in a work directory."""

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.last_run import LAST_RUN_FILE, LastRun
from embedtune.local.runner import LAST


def last_run(command: Literal["run", "demo"], docs: str | None, options: Mapping[str, Any]) -> LastRun:
    """Return the record of a command.

    Args:
        command: The command.
        docs: The documents.
        options: Its parsed options, which have the types that click gives them.
    """
    pairs = (pair.partition("=") for pair in options.get("eval_sets") or ())
    return LastRun(
        command=command,
        docs=absolute(docs),
        preset=options.get("preset"),
        config_file=absolute(options.get("config_file")),
        base=options.get("base"),
        overrides=tuple(options.get("overrides") or ()),
        limit=options.get("limit"),
        last=options["last"],
        dataset=absolute(options.get("dataset")),
        eval_sets=tuple(f"{name}={absolute(folder)}" for name, _, folder in pairs),
        decide_on=options.get("decide_on"),
        champion=absolute(options.get("champion")),
        endpoint=options.get("endpoint"),
    )


def write_last_run(work: Path, run: LastRun) -> None:
    """Write the record; if the command names no documents, those of the command before are kept."""
    if run.docs is None and run.dataset is None:
        with suppress(ArtifactError):  # of another version: this run replaces it
            before = read_last_run(work)
            run = run.model_copy(update={"docs": before.docs if before else None})
    draft = work / f".{LAST_RUN_FILE}.draft"
    write_record(draft, run)
    draft.replace(work / LAST_RUN_FILE)


def read_last_run(work: Path) -> LastRun | None:
    """Return the command that last ran in a work directory; None if no `embedtune run` ever did.

    Raises:
        ArtifactError: The record is damaged, or of another version.
    """
    path = work / LAST_RUN_FILE
    return read_record(path, LastRun) if path.is_file() else None


def absolute(path: str | Path | None) -> str | None:
    """Return a path that can be found from another directory; an s3:// address is kept."""
    if path is None or str(path).startswith("s3://"):
        return None if path is None else str(path)
    return os.path.abspath(path)  # noqa: PTH100 - links are kept as the user knows them


def command_line(work: Path, run: LastRun, last: str) -> str:
    """Return the command that goes on with a run, as it is typed in the current directory.

    Args:
        work: The work directory.
        run: The command that ran.
        last: Stage to run to.
    """
    if run.command == "demo":
        words = ["embedtune", "demo", "--work", _near(str(work))]
    else:
        words = ["embedtune", "run", *([_near(run.docs)] if run.docs and not run.dataset else [])]
        options: tuple[tuple[str, str | int | None], ...] = (
            ("--from", "mine" if run.dataset else None),
            ("--dataset", run.dataset and _near(run.dataset)),
            ("--preset", run.preset),
            ("--config", run.config_file and _near(run.config_file)),
            ("--base", run.base),
            ("--limit", run.limit),
            ("--work", _near(str(work))),
            ("--champion", run.champion and _near(run.champion)),
            ("--endpoint", run.endpoint),
            ("--decide-on", run.decide_on),
        )
        words += [word for name, value in options if value is not None for word in (name, str(value))]
        for pair in run.eval_sets:
            name, _, folder = pair.partition("=")
            words += ["--eval-set", f"{name}={_near(folder)}"]
    words += [word for override in run.overrides for word in ("--set", override)]
    words += ["--to", last] if last != LAST else []
    return shlex.join(words)


def _near(path: str) -> str:
    """Return a path relative to the current directory if it is in it."""
    if path.startswith("s3://"):
        return path
    full, here = Path(path).absolute(), Path.cwd()
    return full.relative_to(here).as_posix() if full.is_relative_to(here) and full != here else str(full)
