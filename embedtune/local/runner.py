"""The local runner: the stages in order on one machine, resumable at any point."""

import fcntl
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.artifacts import StageReport
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.progress import Progress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import STAGE_NAMES, STAGES, Context, StageSpec
from embedtune.core.suggestions import did_you_mean
from embedtune.local.preflight.finding import IntendedRun
from embedtune.local.reviews import with_reviews
from embedtune.local.track import tracking_of

log = logging.getLogger(__name__)
PATIENCE_S = 8.0  # a reply that takes longer is not waited for before the run: a slow LLM is no error
LAST = "evaluate"  # the default last stage, since deploy changes the live release


@dataclass(frozen=True)
class Job:
    """Describes a run.

    Args:
        work: Directory for the artifacts (one directory each), the report and the cache.
        config: The configuration.
        secrets: Credentials.
        source: Documents: a folder or s3://bucket/prefix; required if ingest is among the stages.
        dataset: The user's labelled data in BEIR format; replaces ingest, generate and split.
        first: First stage to run.
        last: Last stage to run.
        force: Run the stages even if their outputs are up to date.
        comparisons: Additional evaluation sets and models to compare with.
    """

    work: Path
    config: Config
    secrets: Secrets
    source: str | None = None
    dataset: Path | None = None
    first: str = STAGE_NAMES[0]
    last: str = LAST
    force: bool = False
    comparisons: Comparisons = field(default_factory=Comparisons)

    def stages(self) -> tuple[StageSpec, ...]:
        """Return the stages to run, in order.

        Raises:
            ConfigError: A stage does not exist, the range is empty, or it contains stages that the user's dataset
                replaces.
            InputError: Ingest is among them, and there are no documents.
        """
        stages = self._range()
        if stages[0] is STAGES[0] and self.source is None:
            raise InputError("no documents were given", expected="a folder or s3://bucket/prefix")
        return stages

    def _range(self) -> tuple[StageSpec, ...]:
        for name in (self.first, self.last):
            if name not in STAGE_NAMES:
                raise _no_such_stage(name)
        first, last = STAGE_NAMES.index(self.first), STAGE_NAMES.index(self.last)
        if first > last:
            raise ConfigError("there is no stage to run", got=f"--from {self.first} --to {self.last}")
        if self.dataset is not None and first <= STAGE_NAMES.index("split"):
            raise ConfigError(
                "--dataset replaces the stages ingest, generate and split",
                got=f"--from {self.first} --dataset",
                fix="start with --from mine",
            )
        return STAGES[first : last + 1]

    def intended(self, *, thorough: bool = False) -> IntendedRun:
        """Return what the checks before the first stage look at.

        Args:
            thorough: Whether someone waits for figures; a run waits a few seconds for the LLM.

        Raises:
            ConfigError: As for `stages`.
        """
        return IntendedRun(
            with_reviews(self.config, self.work),
            self.secrets,
            frozenset(stage.name for stage in self._range()),
            self.work,
            documents=self.source,
            comparisons=self.comparisons,
            asks_llm=thorough or self.force or not (self.work / "questions").exists(),
            patience_s=None if thorough else PATIENCE_S,
            thorough=thorough,
        )


OnStage = Callable[[StageSpec, Progress], None]


def run(
    job: Job, progress: Progress, before: OnStage | None = None, after: Callable[[StageReport], None] | None = None
) -> list[StageReport]:
    """Run the stages of a job.

    Args:
        job: What to do.
        progress: Receives the progress of the stages.
        before: Called before each stage; may raise to stop the run, for example when the user does not confirm.
        after: Called with each stage's report, and with that of importing the user's dataset.
    """
    stages = job.stages()
    if job.source is not None and stages[0].name != "ingest":
        log.warning("%s is not read: the run starts at %s, with what is in %s", job.source, job.first, job.work)
    from embedtune.local.preflight.checks import require_ready  # here, since other commands need none of it

    require_ready(job.intended())
    tracking = tracking_of(job.config, job.work)
    job.work.mkdir(parents=True, exist_ok=True)
    with locked(job.work):
        config = with_reviews(job.config, job.work)
        context = Context(config, job.secrets, progress, job.work / "cache", tracking)
        if job.dataset is not None:
            from embedtune.split.labelled import import_labelled

            imported = import_labelled(job.dataset, job.work / "dataset", context)
            if after:  # what was left out of the user's data is said before the stages use the rest
                after(imported)
        at = {stage.artifact: job.work / stage.artifact for stage in STAGES}
        reports = []
        for stage in stages:
            if before:
                before(stage, progress)
            with _forced(job, stage):
                reports.append(run_stage(stage.name, at, context, job.source, job.comparisons))
            if after:
                after(reports[-1])
        return reports


def check_stage(name: str, job: Job, context: Context) -> None:
    """Check what one stage will need before it starts; generate itself finds out early whether its LLM answers.

    Args:
        name: The stage.
        job: The documents, if the stage is ingest, and what to compare with.
        context: What the stage runs with.

    Raises:
        EmbedtuneError: Something is wrong.
    """
    from embedtune.local.preflight.checks import require_ready

    compared, documents = job.comparisons, job.source if name == STAGE_NAMES[0] else None
    require_ready(
        IntendedRun(
            context.config,
            context.secrets,
            frozenset({name}),
            job.work,
            context.cache,
            documents,
            compared,
            asks_llm=False,
        )
    )


def run_stage(
    name: str,
    at: Mapping[str, Path],
    context: Context,
    source: str | None = None,
    comparisons: Comparisons | None = None,
) -> StageReport:
    """Run one stage.

    Args:
        name: The stage.
        at: Directory of each artifact that the stage reads or writes, by the artifact's name.
        context: The configuration and everything else the stage runs with.
        source: The documents, for ingest.
        comparisons: Additional evaluation sets and models to compare with, for evaluate.
    """
    # Imported one by one, so that `embedtune ingest` does not wait for torch.
    match name:
        case "ingest":
            from embedtune.ingest import stage as ingest

            return ingest.run(source or "", at["chunks"], context)
        case "generate":
            from embedtune.generate import stage as generate

            return generate.run(at["chunks"], at["questions"], context)
        case "split":
            from embedtune.split import stage as split

            return split.run(at["chunks"], at["questions"], at["dataset"], context)
        case "mine":
            from embedtune.mine import stage as mine

            return mine.run(at["dataset"], at["triplets"], context)
        case "train":
            from embedtune.train import stage as train

            return train.run(at["triplets"], at["dataset"], at["model"], context)
        case "evaluate":
            from embedtune.evaluate import stage as evaluate
            from embedtune.local.champion import with_live_model

            compared = with_live_model(comparisons or Comparisons(), at["model"], at["evaluation"], context)
            return evaluate.run(at["dataset"], at["model"], at["evaluation"], context, compared)
        case "export":
            from embedtune.export import stage as export

            return export.run(at["model"], at["dataset"], at["engine"], context)
        case "deploy":
            from embedtune.deploy import stage as deploy

            read = at["engine"], at["evaluation"], at["dataset"], at["model"]
            return deploy.run(*read, at["deployment"], context)
    raise _no_such_stage(name)


def _no_such_stage(name: str) -> ConfigError:
    similar = did_you_mean(name, STAGE_NAMES) or None
    return ConfigError("there is no such stage", got=name, expected=", ".join(STAGE_NAMES), fix=similar)


@contextmanager
def _forced(job: Job, stage: StageSpec) -> Iterator[None]:
    """With --force, move the stage's old output away while it runs, and restore it if the stage fails."""
    output = job.work / stage.artifact
    if not job.force or not output.exists():
        yield
        return
    # With its checkpoints, the stage would resume at its end. LLM replies, which cost money, are kept elsewhere.
    shutil.rmtree(job.work / "cache" / stage.name, ignore_errors=True)
    aside = job.work / f".{stage.artifact}.forced"
    shutil.rmtree(aside, ignore_errors=True)
    output.rename(aside)
    try:
        yield
    finally:
        if output.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(output)


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Lock the work directory for one run; the lock ends with the process, however it ends."""
    with (work / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another run is using {work}", fix="wait for it, or use another --work directory"
            ) from error
        yield
