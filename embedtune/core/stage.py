"""The stages: their table, the context they run in, and the steps at the start and end of each."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic.main import IncEx

from embedtune.core.artifacts import (
    MANIFEST,
    Artifact,
    Figure,
    Provenance,
    Settings,
    StageReport,
    is_current,
    read_artifact,
    read_manifest,
    write_artifact,
)
from embedtune.core.code_version import code_version
from embedtune.core.config.config import Config
from embedtune.core.directories import require_replaceable
from embedtune.core.encoders.precision import compute_of, same_everywhere
from embedtune.core.errors import ConfigError
from embedtune.core.progress import Progress
from embedtune.core.secrets import Secrets
from embedtune.core.tracking import NoTracking, Tracking

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageSpec:
    """One stage: its name, the artifact it writes and the artifacts it reads."""

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
    StageSpec("deploy", "deployment", ("engine", "evaluation", "dataset", "model")),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)
ENCODING = ("generate", "mine", "train", "evaluate")  # what they write depends on the precision of vectors
ARTIFACT_OF = {stage.name: stage.artifact for stage in STAGES}


@dataclass(frozen=True)
class Context:
    """Everything a stage runs with, in addition to its artifacts.

    Args:
        config: The whole configuration.
        secrets: Credentials for endpoints and object stores.
        progress: Receives the progress of the stage.
        cache: Directory for what is kept between runs: LLM replies, vectors, checkpoints, downloads.
        tracking: Records trainings.
        base_vectors: Directory of the base model's vectors of the passages, if another task has computed them;
            those that are missing there are computed.
    """

    config: Config
    secrets: Secrets
    progress: Progress
    cache: Path
    tracking: Tracking = field(default_factory=NoTracking)
    base_vectors: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """A stage's report on the artifact it wrote.

    Args:
        counts: Number of rows, files or the like, for the manifest.
        metrics: Figures for the report and the command line.
        notes: Warnings and remarks, one sentence each.
        cost_usd: Cost of the LLM calls.
    """

    counts: dict[str, int]
    metrics: dict[str, Figure]
    notes: tuple[str, ...] = ()
    cost_usd: float = 0.0


@dataclass(frozen=True)
class StageRun:
    """One run of one stage, from its inputs to its artifact.

    Args:
        stage: Name of the stage.
        output: Directory to write the artifact to.
        context: The configuration and everything else the stage runs with.
        module: Module of the stage's package that does the work; its imports are the code version.
    """

    stage: str
    output: Path
    context: Context
    module: str = "stage"
    _started: float = field(default_factory=time.monotonic, repr=False)

    def read(self, **paths: Path) -> dict[str, Artifact]:
        """Open and verify the input artifacts, given by the name of their schema.

        Raises:
            InputError: The output directory is something else than an older artifact of this stage.
            ArtifactError: An artifact is missing, damaged, or of another schema or version.
        """
        require_replaceable(
            self.output, MANIFEST, ARTIFACT_OF[self.stage]
        )  # before any work, and before deploying
        return {name: read_artifact(path, name) for name, path in paths.items()}

    def provenance(self, inputs: Mapping[str, Artifact | str]) -> Provenance:
        """Return what the output depends on.

        Args:
            inputs: The inputs by name: an artifact, or the fingerprint of anything else.
        """
        config = self.context.config
        prints = {name: one if isinstance(one, str) else one.fingerprint for name, one in inputs.items()}
        return stage_provenance(self.stage, config, prints, self.module)

    def write(
        self,
        inputs: Mapping[str, Artifact | str],
        work: Callable[[Path], Outcome],
        *,
        reuse: bool = True,
    ) -> StageReport:
        """Write the artifact, unless one made from the same inputs, settings and code exists.

        Args:
            inputs: What the output depends on, by name: artifacts, or fingerprints of anything else.
            work: Writes the files into the given directory and returns what to report.
            reuse: Keep an artifact that is up to date.
        """
        artifact, provenance = ARTIFACT_OF[self.stage], self.provenance(inputs)
        if reuse and is_current(self.output, artifact, provenance):
            log.info("%s: %s is up to date", self.stage, self.output)
            return read_manifest(self.output, artifact).report
        with write_artifact(self.output, artifact, provenance) as draft:
            outcome = work(draft.path)
            draft.counts = outcome.counts
            draft.report = StageReport(
                self.stage,
                outcome.metrics,
                outcome.notes,
                time.monotonic() - self._started,
                outcome.cost_usd,
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
        return draft.report


def stage_provenance(stage: str, config: Config, inputs: dict[str, str], module: str = "stage") -> Provenance:
    """Return what the output of a stage depends on.

    Args:
        stage: Name of the stage.
        config: The whole configuration; only the stage's section, the contract, the seed and, where vectors are
            computed, their precision count.
        inputs: The fingerprint of each input, by name.
        module: Module of the stage's package that does the work.
    """
    return Provenance(
        config.seed,
        config.contract,
        stage_settings(config, stage),
        dict(sorted(inputs.items())),
        code_version(f"embedtune.{stage}.{module}"),
    )


# Where the LLM is served, how fast and at what price does not change the questions.
VOLATILE_LLM = (
    *("base_url", "api_key_env", "api_key_header", "headers", "query"),
    *("concurrency", "timeout_s", "retries", "outage_s", "price_in", "price_out"),
    *("batch", "batch_price"),
)
VOLATILE: dict[str, IncEx] = {
    "generate": {
        "llm": set(VOLATILE_LLM),
        "judge": set(VOLATILE_LLM),
        "max_cost": True,
        "reviews": True,  # what is in them counts, not where they are
        "confirm_above": True,
    },
    "split": {"human_pairs": {"__all__": {"place", "version"}}},  # what is there counts
    "train": {"checkpoint_steps": True},
}


def stage_settings(config: Config, stage: str) -> Settings:
    """Return the settings that determine what `stage` writes, for its manifest."""
    exclude = {stage: VOLATILE[stage]} if stage in VOLATILE else None
    data = config.model_dump(mode="json", include={stage}, exclude=exclude)
    if stage in ENCODING:
        # What `auto` means on this machine: vectors of another precision make another artifact.
        runtime = same_everywhere(config.runtime) if stage == "generate" else config.runtime
        data["runtime"] = {"precision": compute_of(runtime), "attention": runtime.attention}
    # Converted via JSON, so that they compare equal to the settings in a manifest.
    settings: Settings = json.loads(json.dumps(data))
    return settings


def require_same_precision(stage: str, config: Config, inputs: Mapping[str, Artifact]) -> None:
    """Check that the inputs of a stage were made in the precision that it computes in.

    Args:
        stage: Name of the stage.
        config: The configuration; its `runtime` counts.
        inputs: Artifacts by name; those that no model made, such as labelled data of the user, pass.

    Raises:
        ConfigError: One was made in another precision, or with another attention.
    """
    ours = stage_settings(config, stage)["runtime"]
    for name, artifact in inputs.items():
        theirs = artifact.manifest.settings.get("runtime")
        if theirs not in (None, ours):
            raise ConfigError(
                f"the {name} and {stage} have different precisions, so their figures cannot be compared",
                got=f"{name}: {theirs}; {stage}: {ours}",
                expected="one precision and one attention in mine, train and evaluate",
                fix="name them instead of auto (--set runtime.precision=bf16 or fp32), or run the earlier stages "
                "again on this machine",
            )
