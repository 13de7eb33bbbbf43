"""What each stage of a job would be made from now: the fingerprints of its inputs, without running anything."""

from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.artifacts import Manifest, read_manifest
from embedtune.core.comparisons import CHAMPION_MODEL
from embedtune.core.errors import ArtifactError
from embedtune.core.progress import Progress
from embedtune.core.stage import Context, StageSpec
from embedtune.local.runner import Job

LABELLED = frozenset({"dataset", "ingest_settings"})  # inputs of a dataset that was imported


@dataclass
class Expected:
    """The inputs of one stage as they are now.

    Args:
        inputs: The fingerprint of each, by name.
        unchecked: Inputs that cannot be compared here.
        documents: The SHA-256 of each document by path, for ingest.
        module: Module of the stage's package that does the work.
        remark: What could not be compared and why, or "".
    """

    inputs: dict[str, str]
    unchecked: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)
    module: str = "stage"
    remark: str = ""


def expected_inputs(
    stage: StageSpec, job: Job, manifest: Manifest, progress: Progress, *, compared: bool
) -> Expected:
    """Return what a stage would be made from.

    Args:
        stage: The stage.
        job: What would be run.
        manifest: What the stage wrote last.
        progress: Updated while documents are hashed.
        compared: Whether the job names everything that evaluate compares with; otherwise that is not checked.

    Raises:
        EmbedtuneError: An input does not exist or cannot be used.
    """
    if stage.name == "ingest":
        return _documents(job, progress)
    if stage.name == "split" and is_labelled(job, manifest):
        return _labelled(job)
    expected = _artifacts(job.work, stage)
    if stage.name == "generate":
        from embedtune.generate.further_inputs import further_inputs as of_generate

        expected.inputs |= of_generate(job.config)
    if stage.name == "split":
        _add_human_pairs(expected, Context(job.config, job.secrets, progress, job.work / "cache"))
    if stage.name == "evaluate":
        from embedtune.evaluate.stage import further_inputs as of_evaluate
        from embedtune.local.champion import champion_of

        if compared:
            context = Context(job.config, job.secrets, progress, job.work / "cache")
            model, evaluation = job.work / "model", job.work / "evaluation"
            expected.inputs |= of_evaluate(job.config, job.comparisons, job.secrets)
            found = None if job.comparisons.champion else champion_of(model, evaluation, context)
            if found:  # the model counts; its vectors' fingerprint would need all its files
                expected.inputs[CHAMPION_MODEL] = found.fingerprint
                expected.unchecked.add("champion")
        else:
            expected.unchecked |= {*manifest.inputs} - {*stage.inputs}
    return expected


def _add_human_pairs(expected: Expected, context: Context) -> None:
    from embedtune.split.human_pairs import human_inputs, human_sources

    places = [one.place for one in context.config.split.human_pairs]
    if any(place.startswith("s3://") for place in places):
        expected.unchecked |= {f"human_pairs.{number}" for number in range(len(places))}
    else:
        expected.inputs |= human_inputs(human_sources(context))


def is_labelled(job: Job, dataset: Manifest | None) -> bool:
    """Return whether the dataset is the user's own labelled data, which replaces ingest, generate and split."""
    return job.dataset is not None or (dataset is not None and {*dataset.inputs} >= LABELLED)


def _labelled(job: Job) -> Expected:
    if job.dataset is None:
        remark = "your labelled data is not known here: whether it has changed was not checked"
        return Expected({}, set(LABELLED), module="labelled", remark=remark)
    from embedtune.split.labelled import labelled_inputs

    return Expected(labelled_inputs(job.dataset, job.config.ingest), module="labelled")


def _artifacts(work: Path, stage: StageSpec) -> Expected:
    expected = Expected({})
    for name in stage.inputs:
        try:
            expected.inputs[name] = read_manifest(work / name, name).fingerprint
        except ArtifactError:
            expected.unchecked.add(name)
    return expected


def _documents(job: Job, progress: Progress) -> Expected:
    if job.source is None or job.source.startswith("s3://"):
        why = "are in an object store" if job.source else "are not known here"
        remark = f"the documents {why}: whether they have changed was not checked"
        return Expected({}, {"documents"}, remark=remark)
    from embedtune.ingest.sources import list_sources

    listing = list_sources(Path(job.source), job.config.ingest, progress)
    return Expected(
        {"documents": listing.fingerprint}, documents={one.name: one.sha256 for one in listing.sources}
    )
