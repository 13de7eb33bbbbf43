"""A release on disk: the record in its `release.json`, and the reader that verifies every file.

A release is data: weights, tokenizer, contract, reference vectors, and this record, from which a server writes its
own configuration. It contains no code.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.export import Precision, Target
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord, Part, read_record, render_record

RELEASE_FILE = "release.json"
REFERENCE_FILE = "reference.parquet"
PROOF_FILE = "proof.npz"  # what every replica encodes and compares before it answers a client
SHORT = 16  # characters of an id that are shown, and that name a model on the endpoint


class Proving(Part):
    """What a replica has to show before a release may answer.

    Attributes:
        texts: Number of texts in its proof.
        min_cosine: Lowest cosine allowed between a text's vector and the trained one.
    """

    texts: int
    min_cosine: float


class ReleaseRecord(JsonRecord):
    """The description of a release.

    Attributes:
        target: Runtime of the encoder.
        precision: Precision in which the encoder computes.
        contract_hash: Hash of its encoder contract.
        dimensions: Vector sizes that it offers, the full one first.
        hidden: Size of the vectors that the encoder itself returns.
        max_length: Number of tokens of a text that the encoder reads.
        engine: Fingerprint of the engine artifact it was built from.
        serve: Batching, limits and the name of the endpoint model.
        proving: What a replica has to show before it may answer.
        tensorrt_version: Version of the TensorRT that built its engine; None for ONNX.
        compute_capability: Compute capability of the GPU that built its engine; None for ONNX.
        files: sha256 by relative path, `release.json` itself not included.
    """

    NAME: ClassVar[str] = "release"
    VERSION: ClassVar[int] = 2
    REMAKE: ClassVar[str] = "embedtune deploy"

    target: Target
    precision: Precision
    contract_hash: str
    dimensions: tuple[int, ...]
    hidden: int
    max_length: int
    engine: str
    serve: ServeSettings
    proving: Proving
    tensorrt_version: str | None
    compute_capability: str | None
    files: dict[str, str]

    @property
    def id(self) -> str:
        """Its name: the sha256 of this record, which contains the sha256 of every file."""
        return hashlib.sha256(render_record(self).encode()).hexdigest()

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each file by relative path, release.json included, whose hash is the id."""
        return {**self.files, RELEASE_FILE: self.id}


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
        return self.record.serve.model_name

    @property
    def contract(self) -> EncoderContract:
        """The encoder contract of the model."""
        return load_contract(self.path)


def short(name: str) -> str:
    """Return the part of a release's id that people and clients see."""
    return name[:SHORT]


def read_release(path: Path, name: str | None = None) -> Release:
    """Open a release and verify the hash of every file.

    Args:
        path: Its directory.
        name: The id that it must have; None: any.

    Raises:
        ArtifactError: There is no release, its format or its id is different, or a file is missing, was
            changed, or
            does not belong to it.
    """
    file = path / RELEASE_FILE
    if not file.is_file():
        raise ArtifactError(f"{path} is not a release", expected=f"a file {RELEASE_FILE}")
    record = read_record(file, ReleaseRecord)
    for relative, digest in record.files.items():
        if not (path / relative).is_file() or file_sha256(path / relative) != digest:
            raise ArtifactError(f"{path / relative} is missing or was changed", expected=digest, fix="rebuild it")
    found = {entry.relative_to(path).as_posix() for entry in path.rglob("*") if not entry.is_dir()}
    if foreign := sorted(found - {*record.files, RELEASE_FILE}):
        raise ArtifactError(
            f"{path} contains files that do not belong to the release", got=foreign, fix="rebuild it"
        )
    if name is not None:
        require_id(record, name, str(file))
    return Release(path, record)


def require_id(record: ReleaseRecord, name: str, where: str) -> None:
    """Refuse the record of another release.

    Args:
        record: The record.
        name: The id that it must have.
        where: Path or address of the record, for the error.

    Raises:
        ArtifactError: It has another id: it was replaced or changed.
    """
    if record.id != name:
        raise ArtifactError(
            f"{where} is not release {short(name)}: it was replaced or changed",
            got=record.id,
            expected=name,
            fix="switch to another release; delete this one and publish it again",
        )
