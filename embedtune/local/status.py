"""What is done in a work directory, what is not up to date and why, and what the next run would do and cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from embedtune.core.artifacts import MANIFEST, Manifest, read_manifest
from embedtune.core.errors import ArtifactError, EmbedtuneError
from embedtune.core.progress import Progress
from embedtune.core.stage import STAGE_NAMES, STAGES, StageSpec, stage_provenance
from embedtune.local.expected_inputs import Expected, expected_inputs, is_labelled
from embedtune.local.freshness import DOCUMENTS_CHANGED, document_changes, reasons
from embedtune.local.reviews import with_reviews
from embedtune.local.runner import Job

State = Literal["done", "stale", "depends", "missing", "damaged"]
RUNS: tuple[State, ...] = ("stale", "missing", "damaged")
REPLACED = ("ingest", "generate")  # by the user's own labelled data; split imports it


@dataclass(frozen=True)
class StageStatus:
    """One stage of a work directory.

    Args:
        stage: Its name.
        state: "done": up to date. "stale": finished, and would run again. "depends": up to date, unless an earlier
            stage that runs first writes something else. "missing": not finished. "damaged": cannot be read.
        reasons: Why it would run, one sentence each.
        counts: Counts of what it wrote; empty if it is not finished.
        seconds: How long it took; None if it is not finished.
        cost_usd: What its LLM calls cost.
    """

    stage: str
    state: State
    reasons: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    cost_usd: float = 0.0


@dataclass(frozen=True)
class LLMWork:
    """The LLM calls of the next run.

    Args:
        calls: All calls of generate.
        unpaid: About how many of them have no reply in the cache yet, and so are sent.
        cost_usd: About what these cost; None if no price is configured.
    """

    calls: int
    unpaid: int
    cost_usd: float | None


@dataclass(frozen=True)
class WorkStatus:
    """The status of a work directory.

    Args:
        stages: Every stage, in order.
        runs: The stages that the next run would execute for certain.
        perhaps: Those that it would execute if what they read changes.
        llm: The LLM calls of the next run; None if generate does not run, replays a recording, or comes after an
            ingest, when its calls can only be counted then.
        remarks: What could not be compared.
    """

    stages: tuple[StageStatus, ...]
    runs: tuple[str, ...]
    perhaps: tuple[str, ...]
    llm: LLMWork | None
    remarks: tuple[str, ...]

    def seconds(self, stages: Sequence[str]) -> float | None:
        """Return how long stages took last time; None if one of them never finished here."""
        times = [status.seconds for status in self.stages if status.stage in stages]
        known = [seconds for seconds in times if seconds is not None]
        return sum(known) if len(known) == len(times) else None


def work_status(job: Job, progress: Progress, *, compared: bool = True) -> WorkStatus:
    """Compare the artifacts of a work directory with what a job would make. Nothing is run or written.

    Only manifests and the sizes of files are read; a run verifies every hash.

    Args:
        job: The job; without documents and without a dataset, these are not compared.
        progress: Updated while documents are hashed.
        compared: Whether the job names everything that evaluate compares with; otherwise that is not checked.
    """
    job = replace(job, config=with_reviews(job.config, job.work))
    survey = _Survey(job, progress, compared)
    labelled = is_labelled(job, _manifest(job.work, "dataset"))
    for stage in STAGES:
        if not (labelled and stage.name in REPLACED):
            survey.add(stage)
    upto = STAGE_NAMES[: STAGE_NAMES.index(job.last) + 1]
    found = [status for status in survey.found if status.stage in upto]
    runs = tuple(status.stage for status in found if status.state in RUNS)
    return WorkStatus(
        tuple(survey.found),
        runs,
        tuple(status.stage for status in found if status.state == "depends"),
        survey.llm_work() if "generate" in runs and "ingest" not in runs else None,
        tuple(survey.remarks),
    )


def _manifest(work: Path, artifact: str) -> Manifest | None:
    try:
        return read_manifest(work / artifact, artifact)
    except ArtifactError:
        return None


@dataclass
class _Survey:
    """The stages so far: each is compared knowing which earlier ones would run."""

    job: Job
    progress: Progress
    compared: bool
    found: list[StageStatus] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, stage: StageSpec) -> None:
        """Compare the artifact of a stage."""
        folder = self.job.work / stage.artifact
        if not (folder / MANIFEST).is_file():
            self.found.append(StageStatus(stage.name, "missing", tuple(_begun(stage.name, self.job.work))))
            return
        try:
            manifest = read_manifest(folder, stage.artifact)
        except ArtifactError as error:
            self.found.append(StageStatus(stage.name, "damaged", (error.what,)))
            return
        state, why = self._compare(stage, folder, manifest)
        report = manifest.report
        self.found.append(
            StageStatus(stage.name, state, tuple(why), manifest.counts, report.seconds, report.cost_usd)
        )

    def llm_work(self) -> LLMWork | None:
        """Count the LLM calls of the next run; what prevents that is a remark."""
        try:
            return _llm_work(self.job)
        except EmbedtuneError as error:
            self.remarks.append(f"the LLM calls cannot be counted: {error.what}")
            return None

    def _compare(self, stage: StageSpec, folder: Path, manifest: Manifest) -> tuple[State, Sequence[str]]:
        if wrong := _wrong_file(folder, manifest):
            return "damaged", [f"{wrong}: remove {folder}, and it is made again"]
        try:
            expected = expected_inputs(stage, self.job, manifest, self.progress, compared=self.compared)
        except EmbedtuneError as error:
            return "stale", [error.what if error.got is None else f"{error.what}: {error.got}"]
        self.remarks += [expected.remark] if expected.remark else []
        first = [other for other in self._before(stage, expected) if self._would_run(other)]
        # What an earlier stage writes again may be the same as before.
        expected.unchecked |= {other.artifact for other in first}
        provenance = stage_provenance(stage.name, self.job.config, expected.inputs, expected.module)
        why = reasons(manifest, provenance, frozenset(expected.unchecked))
        why = [one for reason in why for one in _in_detail(reason, folder, expected)]
        why += _unanswered(stage.name, manifest)
        if why or not first:
            return "stale" if why else "done", why
        return "depends", [f"runs again if {' or '.join(other.name for other in first)} writes something else"]

    def _before(self, stage: StageSpec, expected: Expected) -> list[StageSpec]:
        """Return the stages that make what a stage reads."""
        read = () if expected.module == "labelled" else stage.inputs
        return [other for other in STAGES if other.artifact in read]

    def _would_run(self, stage: StageSpec) -> bool:
        return any(status.stage == stage.name and status.state != "done" for status in self.found)


def _in_detail(reason: str, folder: Path, expected: Expected) -> list[str]:
    if reason != DOCUMENTS_CHANGED:
        return [reason]
    return document_changes(folder, expected.documents) or [reason]


def _unanswered(stage: str, manifest: Manifest) -> list[str]:
    if stage != "generate":
        return []
    from embedtune.generate.stage import UNANSWERED

    calls = manifest.counts.get(UNANSWERED)
    return [f"{calls} LLM calls got no reply; they are sent again"] if calls else []


def _wrong_file(folder: Path, manifest: Manifest) -> str | None:
    for name, record in manifest.files.items():
        file = folder / name
        if not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size != record.bytes:
            return f"{file} was changed after it was written"
    return None


def _begun(stage: str, work: Path) -> list[str]:
    """Say what an interrupted run of a stage has left, from which the next run goes on."""
    if stage == "train" and any((work / "cache" / "train").glob("*/*")):
        return ["an interrupted training left checkpoints; it goes on from there if nothing has changed"]
    return []


def _llm_work(job: Job) -> LLMWork | None:
    """Count the LLM calls that the next run would send; None if a recording is replayed."""
    settings = job.config.generate
    if settings.recording is not None:
        return None
    from embedtune.generate.estimate import estimate_calls, unpaid_share

    chunks, cache = job.work / "chunks", job.work / "cache"
    estimate = estimate_calls(chunks, job.config, job.secrets, cache)
    share = unpaid_share(chunks, job.config, cache)
    cost = share * estimate.cost_usd if settings.prices_known else None
    return LLMWork(estimate.calls, round(share * estimate.calls), cost)


def own_config(work: Path) -> dict[str, JsonValue]:
    """Return the configuration that the artifacts of a work directory were made with, as data.

    Where they disagree, the artifact of the last stage counts. What does not decide what a stage writes, such as
    addresses and prices, is in none of them.
    """
    data: dict[str, JsonValue] = {}
    for stage in STAGES:
        if (manifest := _manifest(work, stage.artifact)) is not None:
            data |= {"seed": manifest.seed, "contract": manifest.contract.model_dump(mode="json")}
            data |= {name: _as_written(value) for name, value in manifest.settings.items()}
    return data


def _as_written(value: JsonValue) -> JsonValue:
    """Return a setting with whole numbers as keys where JSON has made texts of them."""
    if isinstance(value, dict):
        data = {int(key) if key.isdecimal() else key: _as_written(part) for key, part in value.items()}
        return cast("dict[str, JsonValue]", data)
    return value
