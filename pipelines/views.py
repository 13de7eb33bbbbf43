"""What the commands of `embedtune pipeline` print."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from rich.markup import escape

from embedtune.cli.console import table
from embedtune.cli.reporting import err, out
from embedtune.core.formatting import duration
from pipelines.figures import ndcg, outcome_of, verdict
from pipelines.server import KubeflowError

if TYPE_CHECKING:
    from rich.status import Status

    from pipelines.pods import Pod
    from pipelines.registry import Registered
    from pipelines.runs import Wanted
    from pipelines.server import Server
    from pipelines.watch import TaskState

log = logging.getLogger("embedtune.pipelines")  # below embedtune: shown without --verbose
HEADERS = ("run", "started", "state", "verdict", "live", "base", "tuned", "champion")
SYSTEMS = ("base", "tuned", "champion")


class TaskLines:
    """Prints a line for each task that ends.

    Args:
        status: Shows what is running on a terminal; a log gets a line for each task that begins instead.
    """

    def __init__(self, status: "Status") -> None:
        self._status = status

    def changed(self, task: "TaskState") -> None:
        """Print the task, unless it has only begun and the status shows it."""
        if task.state != "running" or not err.is_terminal:
            say(str(task))

    def held_up(self, pod: "Pod") -> None:
        """Print why a pod has not begun."""
        say(f"{pod.task} waits: {pod.message}")

    def waiting(self, remark: str) -> None:
        """Show the remark."""
        self._status.update(escape(remark))


def say(*lines: str) -> None:
    """Print lines that are not the command's result."""
    err.print(*lines, sep="\n", markup=False, highlight=False, soft_wrap=True)


def print_lines(*lines: str) -> None:
    """Print the command's result."""
    out.print(*lines, sep="\n", markup=False, highlight=False, soft_wrap=True)


def registered(server: "Server", found: "Registered") -> tuple[dict[str, object], list[str]]:
    """Return what is known about a registered version, as a record and in words."""
    page = server.page(f"pipelines/details/{found.pipeline_id}/version/{found.version_id}")
    record = {
        "pipeline": found.pipeline,
        "pipeline_id": found.pipeline_id,
        "version": found.version,
        "version_id": found.version_id,
        "new": found.new,
        "page": page,
    }
    state = "registered" if found.new else "is there already"
    return record, [f"{found.pipeline}, version {found.version}: {state}", *([page] if page else [])]


def plan(server: "Server", wanted: "Wanted", cron: str | None) -> Iterator[str]:
    """Yield what a run will be given."""
    pipeline = wanted.pipeline
    place = f"experiment {wanted.experiment}" + (f", namespace {server.namespace}" if server.namespace else "")
    yield f"pipeline {pipeline.pipeline}, version {pipeline.version}{' (registered now)' if pipeline.new else ''}"
    yield f"{'recurring run' if cron else 'run'} {wanted.name} in {place}{f', at {cron}' if cron else ''}"
    for name, parameter in pipeline.specification.parameters.items():
        if name in wanted.values:
            yield f"  {name}: {_typed(wanted.values[name])}"
        elif parameter.default not in ("", [], {}, None):
            yield f"  {name}: {_typed(parameter.default)} (the pipeline's default)"


def _typed(value: JsonValue) -> str:
    """Return a value as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def run_records(server: "Server", runs: Iterable[Any]) -> list[dict[str, Any]]:
    """Return what is known about runs. If the figures of one cannot be read, no others are asked for."""
    records, read = [], True
    for run in runs:
        figures = None
        if read and run.state == "SUCCEEDED":
            read, figures = _figures(server, run.run_id)
        records.append(_record(server, run, figures))
    return records


def run_record(server: "Server", run: Any) -> dict[str, Any]:
    """Return what is known about a run.

    Args:
        server: The server.
        run: The run, as KFP's API describes it.
    """
    return run_records(server, [run])[0]


def _record(server: "Server", run: Any, figures: Mapping[str, float] | None) -> dict[str, Any]:
    ended = run.finished_at if run.finished_at and run.finished_at.year >= 2000 else None
    return {
        "run": run.display_name,
        "run_id": run.run_id,
        "state": run.state or "PENDING",
        "started": run.created_at.isoformat(timespec="seconds") if run.created_at else None,
        "seconds": (ended - run.created_at).total_seconds() if ended and run.created_at else None,
        "verdict": verdict(figures) if figures else None,
        "deployed": bool(figures["deployed"]) if figures else None,
        "ndcg_at_10": {system: ndcg(figures, system) for system in SYSTEMS} if figures else None,
        "page": server.page(f"runs/details/{run.run_id}"),
    }


def _figures(server: "Server", run_id: str) -> tuple[bool, dict[str, float] | None]:
    """Return the figures of a run that ended well, and whether they can be read; it ended well even if not."""
    try:
        return True, outcome_of(server, run_id)
    except KubeflowError as error:
        said = error.got or error.what
        log.warning("the figures of runs cannot be read from %s (--ui, or --endpoint): %s", server.ui, said)
        return False, None


def result(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has become of a run, or of a recurring run."""
    if "recurring_run" in record:
        yield f"{record['recurring_run']}: {'created' if record['new'] else 'is there already'}"
    elif record["state"] != "SUCCEEDED":
        begun = "started" if record.get("new") else f"is there already, {record['state'].lower()}"
        yield f"{record['run']}: {begun}; to follow it: embedtune pipeline watch {record['run_id']}"
    elif record["verdict"] is None:
        yield f"{record['run']}: ended well{_after(record)}; the UI has its figures (--ui URL shows them here)"
    else:
        live = "deployed" if record["deployed"] else "not deployed"
        means = [f"{name} {value:.4f}" for name, value in record["ndcg_at_10"].items() if value is not None]
        yield f"{record['run']}: {record['verdict']}, {live}{_after(record)}; nDCG@10: {', '.join(means)}"
    if record["page"]:
        yield record["page"]


def _after(record: Mapping[str, Any]) -> str:
    return f" after {duration(record['seconds'])}" if record["seconds"] is not None else ""


def print_runs(records: list[dict[str, Any]], ui: str) -> None:
    """Print a table of runs."""
    if not records:
        print_lines("there are no runs")
        return
    out.print(table(HEADERS, [[escape(text) for text in _row(record)] for record in records]), soft_wrap=True)
    if ui:
        say("base, tuned and champion: nDCG@10 on the deciding set")
    else:
        say("the figures are in the UI: use its URL as --endpoint, or name it with --ui")


def _row(record: Mapping[str, Any]) -> list[str]:
    figures = record["ndcg_at_10"] or {}
    return [
        record["run"],
        (record["started"] or "")[5:16].replace("T", " "),
        record["state"].lower(),
        record["verdict"] or "",
        {True: "yes", False: "no", None: ""}[record["deployed"]],
        *(f"{figures[system]:.4f}" if figures.get(system) is not None else "" for system in SYSTEMS),
    ]
