"""The job that a work directory was made by, with changes: for commands that look at a finished run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedtune.cli.options import Options, build_config, build_job
from embedtune.core.config.load import parse_config
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.records.last_run import LastRun
from embedtune.local.environment import apply_environment
from embedtune.local.runner import Job


def changed(run: LastRun, options: Options) -> LastRun:
    """Return the command that last ran with other options: a configuration is replaced, --set values are added."""
    update: dict[str, object] = {"overrides": (*run.overrides, *(options.get("overrides") or ()))}
    if options.get("preset") or options.get("config_file"):
        update |= {"preset": options.get("preset"), "config_file": _text(options.get("config_file")), "base": None}
        update["overrides"] = tuple(options.get("overrides") or ())
    if options.get("base"):
        update["base"] = options["base"]
    return run.model_copy(update=update)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def job_of_run(work: Path, run: LastRun) -> Job:
    """Return the job that a recorded command describes.

    Raises:
        ConfigError: Its configuration is gone, or not valid any more.
    """
    if run.config_file is not None and not Path(run.config_file).is_file():
        raise ConfigError(
            "the configuration file of the last run does not exist any more",
            got=run.config_file,
            fix="name another with --config",
        )
    options = run.model_dump() | {"dataset": Path(run.dataset) if run.dataset else None}
    options["champion"] = Path(run.champion) if run.champion else None
    return build_job(run.docs, work, build_config(options, os.environ), options, os.environ)


def job_of_artifacts(work: Path, options: Mapping[str, Any]) -> Job:
    """Return the job for a work directory in which no `embedtune run` was recorded.

    Raises:
        InputError: There is no artifact in the directory.
        ConfigError: The options do not make a valid configuration.
    """
    from embedtune.local.status import own_config

    if options.get("preset") or options.get("config_file") or options.get("base"):
        return build_job(None, work, build_config(options, os.environ), options, os.environ)
    data = own_config(work)
    if not data:
        raise InputError(
            "there is nothing in the work directory to compare",
            got=str(work),
            fix=f"embedtune run DOCS --work {work}",
        )
    config = apply_environment(parse_config(data, options.get("overrides") or ()), os.environ)
    return build_job(None, work, config, options, os.environ)
