"""What a store of releases says of them, and what a release directory says of itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import file_sha256
from embedtune.core.errors import ArtifactError

RELEASE_FILE = "release.json"


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
