"""What `embedtune pipeline run` and `watch` do: check, register, start, follow."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from embedtune.cli.reporting import INTERRUPTED, err
from embedtune.core.errors import ConfigError, EmbedtuneError, GateError
from pipelines import views
from pipelines.documents_key import known_run, with_version
from pipelines.form import check_form
from pipelines.options import open_file
from pipelines.specification import Specification, load_parameters, load_specification

if TYPE_CHECKING:
    from pipelines.runs import Wanted
    from pipelines.server import Server


class FailedRunError(EmbedtuneError):
    """A run in Kubeflow failed or was canceled: calling the same command again would say so again."""

    exit_code = GateError.exit_code


def check_options(file: Path | None, options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: Two do.
    """
    of_this_version = [f"--{name}" for name in ("kind", "registry", "tag") if options[name]]
    if options["known"] and (file or of_this_version):
        raise ConfigError("two pipelines were named", got=f"--pipeline and {file or of_this_version[0]}")
    if options["version"] and not options["known"]:
        raise ConfigError("--version is that of a registered pipeline", fix="name it: --pipeline NAME")
    if options["once"] and options["name"]:
        raise ConfigError(
            "the key of --once is the name of the run", got="--once and --name", expected="one of them"
        )
    if options["schedule"] and options["wait"]:
        raise ConfigError("a schedule does not end", got="--schedule and --wait", expected="one of them")


def wanted_run(server: "Server", file: Path | None, options: Mapping[str, Any]) -> "Wanted":
    """Return the run that the options describe. Its pipeline is registered after its parameters were checked.

    Raises:
        ConfigError: A parameter is wrong.
        InputError: A file cannot be read, or there is no such pipeline.
    """
    from pipelines.registry import register, registered
    from pipelines.runs import Wanted

    given = load_parameters(options["params"]) if options["params"] else {}
    typed = _typed(options["typed"])
    if options["known"]:
        found = registered(server, options["known"], options["version"])
        values = _values(found.specification, given, typed)
    else:
        with open_file(file, options) as path:
            values = _values(load_specification(path), given, typed)
            found = register(server, path)
    name = options["once"] or options["name"] or f"{found.pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    # Both name the same listing, also if a document arrives meanwhile.
    name, about = with_version((name, options["description"]), found.specification, values)
    return Wanted(name, found, values, about, options["experiment"], options["service_account"])


def schedule(server: "Server", wanted: "Wanted", options: Mapping[str, Any]) -> dict[str, Any]:
    """Create the recurring run, and return what is known about it."""
    from pipelines.runs import schedule, six_fields

    cron = six_fields(options["schedule"])
    views.say(*views.plan(server, wanted, cron))
    made, new = schedule(server, wanted, cron, once=bool(options["once"]))
    return {
        "recurring_run": made.display_name,
        "recurring_run_id": made.recurring_run_id,
        "schedule": cron,
        "new": new,
        "page": server.page(f"recurringrun/details/{made.recurring_run_id}"),
    }


def start(server: "Server", wanted: "Wanted", options: Mapping[str, Any]) -> dict[str, Any]:
    """Start the run, unless there is one with its key, and follow it if wanted. Return what is known about it."""
    from pipelines.runs import start, start_once

    known = known_run(server, wanted, options["once"]) if options["once"] else None
    if known is None:
        views.say(*views.plan(server, wanted, None))
        known, new = start_once(server, wanted) if options["once"] else (start(server, wanted), True)
    else:
        new = False
    if options["wait"]:
        return {**follow(server, known), "new": new}
    return {**views.run_record(server, known), "new": new}


def follow(server: "Server", run: Any) -> dict[str, Any]:
    """Wait for a run to end, and return what is known about it then.

    Raises:
        FailedRunError: It did not end well.
    """
    from pipelines.pods import failed_pods
    from pipelines.watch import follow

    names = _tasks(server, run)
    page = server.page(f"runs/details/{run.run_id}")
    views.say(f"following {run.display_name}" + (f": {page}" if page else ""))
    try:
        with err.status("") as status:
            ended = follow(server, run.run_id, names, views.TaskLines(status))
    except KeyboardInterrupt:
        views.say(f"the run goes on; to follow it again: embedtune pipeline watch {run.run_id}")
        sys.exit(INTERRUPTED)
    if ended.state != "SUCCEEDED":
        what = f"the run {ended.display_name} {'was canceled' if ended.state == 'CANCELED' else 'failed'}"
        raise FailedRunError(
            "\n".join([what, *map(str, failed_pods(server, run.run_id, names))]),
            fix="correct the cause; Retry in the UI then goes on from there" + (f": {page}" if page else ""),
        )
    return views.run_record(server, ended)


def _typed(entries: tuple[str, ...]) -> dict[str, str]:
    typed = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError("--set needs a parameter and its value", got=entry, expected="--set NAME=VALUE")
        typed[name.strip()] = value
    return typed


def _values(
    specification: Specification, given: Mapping[str, JsonValue], typed: Mapping[str, str]
) -> dict[str, JsonValue]:
    """Return the checked parameters of a run; if the pipeline is ours, so are the settings behind them."""
    values = specification.values(given, typed)
    check_form(specification, values)
    return values


def _tasks(server: "Server", run: Any) -> tuple[str, ...]:
    """Return the names of the tasks of a run's pipeline; none if that was deleted."""
    from pipelines.registry import specification_of

    found = specification_of(server, run)
    return found.tasks if found else ()
