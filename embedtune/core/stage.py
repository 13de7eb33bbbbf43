"""What every stage does at its beginning: say what its output depends on, and skip what is already there."""

import json
import logging
from pathlib import Path

from embedtune.core.artifacts import Provenance, StageReport, code_version, is_current, read_manifest
from embedtune.core.config import stage_config
from embedtune.core.settings import Config

log = logging.getLogger(__name__)


def stage_provenance(stage: str, config: Config, inputs: dict[str, str]) -> Provenance:
    """Return what the output of a stage depends on.

    Args:
        stage: Name of the stage.
        config: The whole configuration; only the stage's part and the contract count.
        inputs: Fingerprint of each input, by name.
    """
    # Through JSON, so that it compares equal to what a manifest holds.
    settings = json.loads(json.dumps(stage_config(config, stage)))
    return Provenance(config.seed, settings, dict(sorted(inputs.items())), code_version(stage))


def finished(output: Path, schema_name: str, provenance: Provenance) -> StageReport | None:
    """Return the report of an earlier run with the same provenance, or None if the stage has to run."""
    if not is_current(output, schema_name, provenance):
        return None
    stored = read_manifest(output, schema_name).report
    log.info("%s: %s is up to date", stored["stage"], output)
    return StageReport(
        stored["stage"], stored["metrics"], tuple(stored["notes"]), stored["seconds"], stored["cost_usd"]
    )
