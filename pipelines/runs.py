"""Starts runs in KFP: at once, on a schedule, or only if there is none with the same key."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import sleep
from typing import Any

from pydantic import JsonValue

from embedtune.core.errors import ConfigError, InputError
from pipelines.registry import Registered
from pipelines.server import KubeflowError, Server, equals

# Runs that several commands start at the same moment have been stored after this long: KFP stores a run after it
# has created its workflow.
SETTLE_S = 5.0
CRON_FIELDS = "minute hour day month weekday, or with the seconds before them"


@dataclass(frozen=True)
class Wanted:
    """A run to start.

    Args:
        name: Its name in KFP. Of a run that is to be started once, the key.
        pipeline: The version to run.
        values: Values of its parameters.
        description: What the UI shows as its description.
        experiment: Name of the experiment that it belongs to, which is created if there is none.
        service_account: Kubernetes service account of its pods; "": KFP's own.
    """

    name: str
    pipeline: Registered
    values: Mapping[str, JsonValue]
    description: str = ""
    experiment: str = "Default"
    service_account: str = ""


def start(server: Server, wanted: Wanted) -> Any:
    """Start a run and return it, as KFP's API describes it."""
    from kfp_server_api import V2beta1Run

    return server.call(_runs(server).run_service_create_run, V2beta1Run(**_body(server, wanted)))


def with_key(server: Server, key: str) -> Any | None:
    """Return the oldest run whose name is the key, archived ones included; None if there is none."""
    method = _runs(server).run_service_list_runs
    found = [
        run
        for run in server.listed(method, "runs", filter=equals("display_name", key), **server.here)
        if run.display_name == key
    ]
    return min(found, key=lambda run: (run.created_at, run.run_id), default=None)


def start_once(server: Server, wanted: Wanted, settle_s: float = SETTLE_S) -> tuple[Any, bool]:
    """Start a run unless there is one with the same name.

    KFP cannot do this in one step. Of commands that start the same run at the same moment, each looks again when
    all are stored, and the oldest run stays: the others are terminated by those that started them.

    Args:
        server: The server.
        wanted: The run; its name is the key.
        settle_s: Seconds to wait before looking again.

    Returns:
        The run that there is, and whether it is the one that was started here.
    """
    if (known := with_key(server, wanted.name)) is not None:
        return known, False
    own = start(server, wanted)
    sleep(settle_s)
    oldest = with_key(server, wanted.name) or own
    if oldest.run_id == own.run_id:
        return own, True
    server.call(_runs(server).run_service_terminate_run, own.run_id)
    return oldest, False


def find(server: Server, name: str) -> Any:
    """Return the run with an id, or the newest one with a name.

    Raises:
        InputError: There is none.
    """
    method = _runs(server).run_service_list_runs
    named = server.listed(
        method, "runs", filter=equals("display_name", name), sort_by="created_at desc", **server.here
    )
    if (run := next((entry for entry in named if entry.display_name == name), None)) is not None:
        return run
    try:
        return server.call(_runs(server).run_service_get_run, name)
    except KubeflowError as error:
        if error.status not in (400, 404):
            raise
        raise InputError("there is no such run in Kubeflow", got=name, fix="embedtune pipeline runs") from error


def newest(server: Server, count: int) -> list[Any]:
    """Return the newest runs that are not archived, the newest first."""
    method = _runs(server).run_service_list_runs
    options = {"filter": equals("storage_state", "AVAILABLE"), "sort_by": "created_at desc", **server.here}
    return [run for run, _ in zip(server.listed(method, "runs", **options), range(count), strict=False)]


def schedule(server: Server, wanted: Wanted, cron: str, *, once: bool) -> tuple[Any, bool]:
    """Create a recurring run, which starts the version that it was created with.

    Args:
        server: The server.
        wanted: What each run is like.
        cron: Six fields, as `six_fields` returns them; KFP reads them in its own time zone, UTC by default.
        once: Keep a recurring run with the same name.

    Returns:
        The recurring run, and whether it is new.

    Raises:
        ConfigError: There is one with this name, but another schedule, version or other parameters.
    """
    from kfp_server_api import RecurringRunMode, V2beta1CronSchedule, V2beta1RecurringRun, V2beta1Trigger

    if once and (known := _recurring(server, wanted.name)) is not None:
        _same(known, wanted, cron)
        return known, False
    body = V2beta1RecurringRun(
        **_body(server, wanted),
        mode=RecurringRunMode.ENABLE,
        trigger=V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=cron)),
        max_concurrency="1",  # two runs at once would deploy against each other
        no_catchup=True,  # one run is enough, however many were missed
    )
    return server.call(_recurring_runs(server).recurring_run_service_create_recurring_run, body), True


def six_fields(cron: str) -> str:
    """Return a cron expression as KFP reads it, with seconds.

    KFP takes five fields too, but reads the first one as seconds: "0 3 * * 1" would run in January, every hour.

    Raises:
        ConfigError: It does not have five or six fields.
    """
    fields = cron.split()
    if cron.startswith("@"):
        return cron
    if len(fields) not in (5, 6):
        raise ConfigError("--schedule is not a cron expression", got=cron, expected=CRON_FIELDS)
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _runs(server: Server) -> Any:
    from kfp_server_api import RunServiceApi

    return RunServiceApi(server.client)


def _recurring_runs(server: Server) -> Any:
    from kfp_server_api import RecurringRunServiceApi

    return RecurringRunServiceApi(server.client)


def _body(server: Server, wanted: Wanted) -> dict[str, Any]:
    from kfp_server_api import V2beta1PipelineVersionReference, V2beta1RuntimeConfig

    pipeline = wanted.pipeline
    return {
        "display_name": wanted.name,
        "description": wanted.description,
        "experiment_id": _experiment(server, wanted.experiment),
        "pipeline_version_reference": V2beta1PipelineVersionReference(
            pipeline_id=pipeline.pipeline_id, pipeline_version_id=pipeline.version_id
        ),
        "runtime_config": V2beta1RuntimeConfig(parameters=dict(wanted.values)),
        "service_account": wanted.service_account or None,
    }


def _experiment(server: Server, name: str) -> str:
    """Return the id of an experiment, which is created if there is none."""
    from kfp_server_api import ExperimentServiceApi, V2beta1Experiment

    api = ExperimentServiceApi(server.client)
    found = server.listed(
        api.experiment_service_list_experiments, "experiments", filter=equals("display_name", name), **server.here
    )
    known = next((entry for entry in found if entry.display_name == name), None)
    if known is None:
        body = V2beta1Experiment(display_name=name, namespace=server.namespace)
        known = server.call(api.experiment_service_create_experiment, body)
    return str(known.experiment_id)


def _recurring(server: Server, name: str) -> Any | None:
    method = _recurring_runs(server).recurring_run_service_list_recurring_runs
    found = server.listed(method, "recurring_runs", filter=equals("display_name", name), **server.here)
    return next((entry for entry in found if entry.display_name == name), None)


def _same(known: Any, wanted: Wanted, cron: str) -> None:
    """Refuse a recurring run that does something else than what is wanted."""
    version = known.pipeline_version_reference and known.pipeline_version_reference.pipeline_version_id
    parts: dict[str, tuple[Any, Any]] = {
        "schedule": (known.trigger.cron_schedule and known.trigger.cron_schedule.cron, cron),
        "version": (version, wanted.pipeline.version_id),
        "parameters": ((known.runtime_config and known.runtime_config.parameters) or {}, dict(wanted.values)),
    }
    if wanted.service_account:
        parts["service account"] = (known.service_account, wanted.service_account)
    if differing := [name for name, (there, here) in parts.items() if there != here]:
        raise ConfigError(
            f"there is another recurring run {wanted.name}: not the same {', '.join(differing)}",
            got=known.recurring_run_id,
            fix="delete it in the UI, or give this one another key",
        )
