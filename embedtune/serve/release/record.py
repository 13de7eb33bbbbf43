"""What a store of releases says of them, and what a release directory says of itself."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.export import Precision
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.errors import ArtifactError

RELEASE_FILE = "release.json"
REFERENCE_FILE = "reference.parquet"
REPOSITORY = "repository"


@dataclass(frozen=True)
class Published:
    """A release in the store.

    Args:
        id: Its name: a hash of its content.
        published: When, as ISO 8601 in UTC.
        data: Where its files stand, relative to the store's prefix.
        hashes: sha256 of each file by relative path, release.json among them.
        size: Bytes of all files.
        about: What its release.json says.
        origin: What it was made from, by fingerprint.
    """

    id: str
    published: str
    data: str
    hashes: dict[str, str]
    size: int
    about: dict[str, Any]
    origin: dict[str, str]


@dataclass(frozen=True)
class Live:
    """Which release is live.

    Args:
        id: The release.
        since: Since when, as ISO 8601 in UTC.
        before: Those that were live before it, newest last.
        etag: Version of the record, for changing it.
    """

    id: str
    since: str
    before: tuple[str, ...]
    etag: str


def read_release_files(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a release says of itself and the hash of each of its files, all verified."""
    file = path / RELEASE_FILE
    if not file.is_file():
        raise ArtifactError(f"{path} is not a release", expected=f"a file {RELEASE_FILE}")
    try:
        about = json.loads(file.read_text())
    except ValueError as error:
        raise ArtifactError(f"{file} was changed", expected="JSON", fix="build it again") from error
    for name, digest in about["files"].items():
        if not (path / name).is_file() or file_sha256(path / name) != digest:
            raise ArtifactError(f"{path / name} is missing or was changed", expected=digest, fix="build it again")
    return about, {**about["files"], RELEASE_FILE: file_sha256(file)}


@dataclass(frozen=True)
class Release:
    """A verified release on disk.

    Args:
        path: Its directory.
        about: What its release.json says.
    """

    path: Path
    about: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name: a hash of its content."""
        return str(self.about["id"])

    @property
    def target(self) -> str:
        """What runs the encoder: python-cpu, onnxruntime or tensorrt."""
        return str(self.about["target"])

    @property
    def precision(self) -> Precision:
        """In what the encoder computes."""
        precision: Precision = self.about["precision"]
        return precision

    @property
    def model_name(self) -> str:
        """The endpoint model."""
        return str(self.about["model_name"])

    @property
    def repository(self) -> Path:
        """Triton's model repository."""
        return self.path / REPOSITORY

    @property
    def contract(self) -> EncoderContract:
        """How texts become vectors."""
        return load_contract(self.repository / self.model_name / "1")


def read_release(path: Path) -> Release:
    """Open a release and verify every hash and its id.

    Raises:
        ArtifactError: It is no release, or a file is missing, was changed, or does not belong to it.
    """
    about, hashes = read_release_files(path)
    # Triton's Python backend compiles model.py where it lies and can, and knows no way to leave that.
    there = {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.is_file() and file.parent.name != "__pycache__"
    }
    if foreign := sorted(there - set(hashes)):
        raise ArtifactError(f"{path} holds files that are not of the release", got=foreign, fix="build it again")
    if (name := release_id(about["files"], about["target"])) != about["id"]:
        raise ArtifactError(f"{path / RELEASE_FILE} was changed", got=about["id"], expected=name)
    return Release(path, about)


def release_id(files: Mapping[str, str], target: str) -> str:
    """Return the id of a release.

    Args:
        files: sha256 by relative path.
        target: What runs the encoder.
    """
    text = json.dumps([sorted(files.items()), target])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
