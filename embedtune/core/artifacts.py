"""The artifacts that stages exchange: directories with a manifest, written once, read with every hash verified."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from embedtune import __version__
from embedtune.core.contract import EncoderContract
from embedtune.core.directories import replaced, require_replaceable
from embedtune.core.errors import ArtifactError, InputError, OtherVersionError
from embedtune.core.records.base import Part

MANIFEST = "manifest.json"
FORMAT = 2  # the version of manifest.json; in format 1 the contract was among the settings
Settings = dict[str, JsonValue]  # a stage's settings: compared as a whole; only the precision is read by key
Figure = float | int | str


@dataclass(frozen=True)
class Schema:
    """The name, version and required files of one kind of artifact, and the stage that writes it."""

    name: str
    version: int
    files: tuple[str, ...]
    stage: str


SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        Schema("chunks", 2, ("documents.parquet", "chunks.parquet", "skipped.parquet"), "ingest"),
        Schema("questions", 2, ("questions.parquet", "rejected.parquet"), "generate"),
        Schema(
            "dataset",
            1,
            ("corpus.jsonl", "queries.jsonl", "split.json", "qrels/train.tsv", "qrels/dev.tsv", "qrels/test.tsv"),
            "split",
        ),
        Schema("triplets", 3, ("triplets.parquet", "passages.parquet", "audit.json"), "mine"),
        Schema("model", 1, ("embedtune.json", "modules.json", "training.json"), "train"),
        Schema("evaluation", 1, ("metrics.json", "per_query.parquet", "verdict.json"), "evaluate"),
        Schema("engine", 1, ("embedtune.json", "engine.json", "parity.json", "reference.parquet"), "export"),
        Schema("deployment", 1, ("deployment.json",), "deploy"),
    )
}


@dataclass(frozen=True)
class StageReport:
    """The figures and remarks of one run of a stage; stored in the manifest, shown in the report.

    `finished` is the time in UTC, ISO 8601 to the second; "" in manifests from before it was recorded.
    """

    stage: str
    metrics: dict[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    cost_usd: float = 0.0
    finished: str = ""


class FileRecord(Part):
    """The size and hash of one file."""

    bytes: int
    sha256: str


class Manifest(Part):
    """The provenance of an artifact, the hashes of its files, and the report of the stage that wrote it."""

    format: int
    schema_name: str
    schema_version: int
    tool_version: str
    code_version: str
    seed: int
    contract: EncoderContract
    settings: Settings
    inputs: dict[str, str]
    counts: dict[str, int]
    files: dict[str, FileRecord]
    report: StageReport

    @property
    def fingerprint(self) -> str:
        """Identifies the content: artifacts with equal files have equal fingerprints."""
        record = {name: entry.sha256 for name, entry in sorted(self.files.items())}
        text = json.dumps([self.schema_name, self.schema_version, record])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A verified artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def fingerprint(self) -> str:
        """Identity of the content."""
        return self.manifest.fingerprint


@dataclass
class Draft:
    """An artifact under construction: write files into `path`, set `counts` and `report`."""

    path: Path
    counts: dict[str, int] = field(default_factory=dict)
    report: StageReport | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything an output depends on: if the provenance is equal, the stage need not run again."""

    seed: int
    contract: EncoderContract
    settings: Settings
    inputs: dict[str, str]
    code_version: str

    @property
    def key(self) -> str:
        """Identifies it: 16 hexadecimal digits."""
        parts = (self.contract.hash, self.settings, self.inputs, self.code_version)
        record = json.dumps([self.seed, *parts], sort_keys=True)
        return hashlib.sha256(record.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def write_artifact(path: Path, schema_name: str, provenance: Provenance) -> Iterator[Draft]:
    """Write an artifact to a temporary directory, then rename it, so that a partial artifact is never visible.

    Args:
        path: Directory to write the artifact to; an older artifact there is replaced.
        schema_name: A key of `SCHEMAS`.
        provenance: What the artifact depends on.

    Raises:
        InputError: Something else is at `path`, or another process is writing there.
        ArtifactError: A required file was not written.
    """
    require_replaceable(path, MANIFEST, schema_name)
    with replaced(path) as draft_path:
        draft = Draft(draft_path)
        yield draft
        _write_manifest(draft, SCHEMAS[schema_name], provenance)


def _write_manifest(draft: Draft, schema: Schema, provenance: Provenance) -> None:
    """Write the manifest of a finished draft.

    Raises:
        ArtifactError: A required file is missing.
    """
    missing = [name for name in schema.files if not (draft.path / name).is_file()]
    if missing:
        raise ArtifactError(f"files of the {schema.name} artifact are missing", got=missing, expected=schema.files)
    files = {
        file.relative_to(draft.path).as_posix(): FileRecord(bytes=file.stat().st_size, sha256=file_sha256(file))
        for file in sorted(draft.path.rglob("*"))
        if file.is_file()
    }
    report = draft.report or StageReport(schema.stage)
    manifest = Manifest(
        format=FORMAT,
        schema_name=schema.name,
        schema_version=schema.version,
        tool_version=__version__,
        code_version=provenance.code_version,
        seed=provenance.seed,
        contract=provenance.contract,
        settings=provenance.settings,
        inputs=provenance.inputs,
        counts=draft.counts,
        files=files,
        report=replace(report, seconds=round(report.seconds, 3), cost_usd=round(report.cost_usd, 6)),
    )
    (draft.path / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")


def read_manifest(path: str | Path, schema_name: str) -> Manifest:
    """Read a manifest without hashing the files.

    Args:
        path: Directory of the artifact.
        schema_name: A key of `SCHEMAS`.

    Raises:
        InputError: There is no such kind of artifact.
        ArtifactError: The manifest is missing or damaged, or the artifact is of another schema.
    """
    if schema_name not in SCHEMAS:
        raise InputError("unknown kind of artifact", got=schema_name, expected=", ".join(SCHEMAS))
    schema = SCHEMAS[schema_name]
    again = f"run `embedtune {schema.stage}` again"
    file = Path(path) / MANIFEST
    try:
        data = json.loads(file.read_bytes())
        if isinstance(data, dict) and data.get("format", 1) != FORMAT:
            raise OtherVersionError(
                f"{file} was written by a different version of embedtune",
                got=f"manifest format {data.get('format', 1)}",
                expected=f"format {FORMAT}",
                fix=f"{again}, or `embedtune run` for all stages: no LLM call is paid for twice",
            )
        manifest = Manifest.model_validate(data)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(
            f"{path} is not a finished {schema_name} artifact", expected=str(file), fix=again
        ) from error
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read", got=error.strerror) from error
    except ValidationError as error:
        raise ArtifactError(f"{file} is damaged", got=error.errors()[0]["msg"], fix=again) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{file} is damaged: it is not JSON", got=str(error), fix=again) from error
    got = (manifest.schema_name, manifest.schema_version)
    if got != (schema.name, schema.version):
        raise ArtifactError(
            f"{path} contains a different kind of artifact",
            got=f"{got[0]} version {got[1]}",
            expected=f"{schema.name} version {schema.version}",
            fix=again,
        )
    return manifest


def read_artifact(path: str | Path, schema_name: str) -> Artifact:
    """Open an artifact and verify the hash of each of its files.

    Args:
        path: Directory of the artifact.
        schema_name: A key of `SCHEMAS`.

    Raises:
        ArtifactError: The artifact is missing or of another schema, or a file does not match its hash.
    """
    path = Path(path)
    manifest = read_manifest(path, schema_name)
    again = f"remove {path} and run `embedtune {SCHEMAS[schema_name].stage}` again"
    for name, record in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing", fix=again)
        if not os.access(file, os.R_OK):  # weights are readable only by the user who wrote them
            raise ArtifactError(
                f"user {os.getuid()} has no permission to read {file}", fix=f"chmod -R a+rX {path}"
            )
        if file.stat().st_size != record.bytes or file_sha256(file) != record.sha256:
            raise ArtifactError(f"{file} was changed after it was written", expected=record.sha256, fix=again)
    return Artifact(path, manifest)


def is_current(path: Path, schema_name: str, provenance: Provenance) -> bool:
    """Return whether `path` contains a finished artifact with exactly this provenance."""
    try:
        manifest = read_manifest(path, schema_name)
    except ArtifactError:
        return False
    made_from = Provenance(
        manifest.seed, manifest.contract, manifest.settings, manifest.inputs, manifest.code_version
    )
    return made_from == provenance
