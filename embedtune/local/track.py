"""Tells the tracking tools about a run: its settings before training, its verdict after evaluation."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from embedtune.core.artifacts import Provenance, read_manifest
from embedtune.core.config.config import Config
from embedtune.core.records.base import read_record
from embedtune.core.records.evaluation import VERDICT_FILE, VerdictRecord
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.core.records.training import TRAINING_FILE
from embedtune.core.stage import STAGE_NAMES, stage_settings
from embedtune.core.tracking import Tracking
from embedtune.tracking.trackers import Trackers, open_tracking

if TYPE_CHECKING:
    from embedtune.local.runner import Job


def tracking_of(config: Config, work: Path) -> Tracking:
    """Return the tracking that the configuration asks for.

    Raises:
        ConfigError: A tool is not installed, or not told where to record.
    """
    return open_tracking(config, work, tracked_settings(config) if config.tracking.to else {})


def tracked_settings(config: Config) -> dict[str, str]:
    """Return what is recorded: what the manifests hold too, so no address of an LLM, no header and no key."""
    last = STAGE_NAMES.index("train")
    sections: dict[str, JsonValue] = {"seed": config.seed, "contract": config.contract.model_dump(mode="json")}
    for stage in STAGE_NAMES[: last + 1]:
        sections |= stage_settings(config, stage)
    return dict(_flat(sections))


def track_result(job: "Job", report: Path) -> None:
    """Add verdict, figures and files of a job's evaluation to the record of the model's training.

    Args:
        job: The finished job; nothing is done if it does not evaluate.
        report: The rendered report; sent only with `tracking.report`.
    """
    config, work = job.config, job.work
    tracking = tracking_of(config, work)
    if not isinstance(tracking, Trackers) or "evaluate" not in [stage.name for stage in job.stages()]:
        return
    evaluation = work / "evaluation"
    verdict, metrics = evaluation / VERDICT_FILE, evaluation / METRICS_FILE
    made = read_manifest(work / "model", "model")
    name = Provenance(made.seed, made.contract, made.settings, made.inputs, made.code_version).key
    figures = _figures(read_record(metrics, Metrics), read_record(verdict, VerdictRecord))
    files = [verdict, metrics, work / "model" / TRAINING_FILE, *([report] if config.tracking.report else [])]
    tracking.result(name, read_record(verdict, VerdictRecord).verdict.value, figures, files)


def _figures(metrics: Metrics, verdict: VerdictRecord) -> dict[str, float]:
    """Return the deciding metric of each set and system, and the difference that decides."""
    metric = verdict.metric
    found = {
        f"test/{name}/{system}/{metric}": values[metric]
        for name, one in metrics.sets.items()
        for system, values in one.systems.items()
        if metric in values
    }
    delta = verdict.delta
    found |= {"verdict/delta": delta.mean, "verdict/low": delta.low, "verdict/high": delta.high}
    return {_plain(name): value for name, value in found.items()}


def _plain(name: str) -> str:
    """Return a name of letters, digits and `_-./`, which every tool takes."""
    return "".join(one if one.isalnum() or one in "_-./" else "_" for one in name.replace("@", "_at_"))


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = _plain(f"{prefix}{key}")
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, str(value)
