"""A release on disk: the record in its `release.json`, and the reader that verifies every file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.export import Precision, Target
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord, read_record

RELEASE_FILE = "release.json"
REFERENCE_FILE = "reference.parquet"
REPOSITORY = "repository"


class ReleaseRecord(JsonRecord):
    """The description of a release.

    Attributes:
        id: Its name: a hash over its files and its target.
        target: Runtime of the encoder.
        precision: Precision in which the encoder computes.
        model_name: Name of the endpoint model.
        contract_hash: Hash of its encoder contract.
        dimensions: Vector sizes that it offers, the full one first.
        max_length: Number of tokens of a text that the encoder reads.
        engine: Fingerprint of the engine artifact it was built from.
        response_cache_mb: Size of Triton's response cache; 0: none.
        tensorrt_version: Version of the TensorRT that built its engine; None for ONNX.
        compute_capability: Compute capability of the GPU that built its engine; None for ONNX.
        files: sha256 by relative path, `release.json` itself not included.
    """

    NAME: ClassVar[str] = "release"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    id: str
    target: Target
    precision: Precision
    model_name: str
    contract_hash: str
    dimensions: tuple[int, ...]
    max_length: int
    engine: str
    response_cache_mb: int
    tensorrt_version: str | None
    compute_capability: str | None
    files: dict[str, str]


@dataclass(frozen=True)
class Release:
    """A release on disk whose files are verified.

    Args:
        path: Its directory.
        record: The content of its `release.json`.
    """

    path: Path
    record: ReleaseRecord

    @property
    def id(self) -> str:
        """Its name: a hash of its content."""
        return self.record.id

    @property
    def target(self) -> Target:
        """Runtime of the encoder."""
        return self.record.target

    @property
    def model_name(self) -> str:
        """Name of the endpoint model."""
        return self.record.model_name

    @property
    def repository(self) -> Path:
        """Triton's model repository."""
        return self.path / REPOSITORY

    @property
    def contract(self) -> EncoderContract:
        """The encoder contract of the model."""
        return load_contract(self.repository / self.model_name / "1")


def read_release(path: Path) -> Release:
    """Open a release and verify the hash of every file and its id.

    Raises:
        ArtifactError: There is no release, its format is different, or a file is missing, was changed, or does not
            belong to it.
    """
    file = path / RELEASE_FILE
    if not file.is_file():
        raise ArtifactError(f"{path} is not a release", expected=f"a file {RELEASE_FILE}")
    record = read_record(file, ReleaseRecord)
    for name, digest in record.files.items():
        if not (path / name).is_file() or file_sha256(path / name) != digest:
            raise ArtifactError(f"{path / name} is missing or was changed", expected=digest, fix="rebuild it")
    # Triton's Python backend compiles model.py next to it where it can, and has no option to turn that off.
    found = {
        entry.relative_to(path).as_posix()
        for entry in path.rglob("*")
        if entry.is_file() and entry.parent.name != "__pycache__"
    }
    if foreign := sorted(found - {*record.files, RELEASE_FILE}):
        raise ArtifactError(
            f"{path} contains files that do not belong to the release", got=foreign, fix="rebuild it"
        )
    if (name := release_id(record.files, record.target)) != record.id:
        raise ArtifactError(f"{file} was changed", got=record.id, expected=name, fix="rebuild it")
    return Release(path, record)


def release_id(files: Mapping[str, str], target: str) -> str:
    """Return the id of a release.

    Args:
        files: sha256 by relative path.
        target: Runtime of the encoder.
    """
    text = json.dumps([sorted(files.items()), target])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
