"""What every stage does at its beginning: say what its output depends on, and skip what is already there."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import Provenance, StageReport, is_current, read_manifest
from embedtune.core.code_version import code_version
from embedtune.core.config.config import Config

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageSpec:
    """One stage: its name, the artifact it writes, the artifacts it reads."""

    name: str
    artifact: str
    inputs: tuple[str, ...]


STAGES = (
    StageSpec("ingest", "chunks", ()),
    StageSpec("generate", "questions", ("chunks",)),
    StageSpec("split", "dataset", ("chunks", "questions")),
    StageSpec("mine", "triplets", ("dataset",)),
    StageSpec("train", "model", ("triplets", "dataset")),
    StageSpec("evaluate", "evaluation", ("dataset", "model")),
    StageSpec("export", "engine", ("model", "dataset")),
    StageSpec("deploy", "deployment", ("engine", "evaluation", "dataset")),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)


def stage_provenance(stage: str, config: Config, inputs: dict[str, str], module: str = "stage") -> Provenance:
    """Return what the output of a stage depends on.

    Args:
        stage: Name of the stage.
        config: The whole configuration; only the stage's part and the contract count.
        inputs: Fingerprint of each input, by name.
        module: Module of the stage's package that does the work.
    """
    # Through JSON, so that it compares equal to what a manifest holds.
    settings = json.loads(json.dumps(stage_config(config, stage)))
    return Provenance(
        config.seed, settings, dict(sorted(inputs.items())), code_version(f"embedtune.{stage}.{module}")
    )


def stage_config(config: Config, stage: str) -> dict[str, Any]:
    """Return the part of the configuration that decides what `stage` writes, for its manifest."""
    data = config.model_dump(mode="json", include={"contract", stage})
    if stage == "generate":
        # Where the model is served, how fast and how dear does not change which questions come out.
        volatile = ("base_url", "api_key_env", "concurrency", "timeout_s", "retries", "price_in", "price_out")
        for endpoint in (data[stage]["llm"], data[stage]["judge"]):
            for key in volatile if endpoint else ():
                del endpoint[key]
        del data[stage]["max_cost"], data[stage]["confirm_above"]
    return data


def finished(output: Path, schema_name: str, provenance: Provenance) -> StageReport | None:
    """Return the report of an earlier run with the same provenance, or None if the stage has to run."""
    if not is_current(output, schema_name, provenance):
        return None
    stored = read_manifest(output, schema_name).report
    log.info("%s: %s is up to date", stored["stage"], output)
    return StageReport(
        stored["stage"], stored["metrics"], tuple(stored["notes"]), stored["seconds"], stored["cost_usd"]
    )
