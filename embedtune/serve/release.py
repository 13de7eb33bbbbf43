"""A release: one immutable directory with a complete Triton model repository, named by the hash of its content."""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import file_sha256, read_artifact
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.errors import ArtifactError
from embedtune.core.settings_export import Precision
from embedtune.core.settings_serve import ServeSettings
from embedtune.serve.published import RELEASE_FILE, read_release_files
from embedtune.serve.repository import write_repository

log = logging.getLogger(__name__)
REFERENCE_FILE = "reference.parquet"
REPOSITORY = "repository"


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


def build_release(engine: Path, output: Path, settings: ServeSettings) -> Release:
    """Build the release of an engine; one with the same content there already is kept, a damaged one replaced.

    Args:
        engine: What export wrote.
        output: The release becomes a directory in here, named by its id.
        settings: Batching, limits and the model's name.

    Raises:
        ArtifactError: The engine is damaged.
    """
    artifact = read_artifact(engine, "engine")
    made = json.loads((engine / "engine.json").read_text())
    contract = load_contract(engine)
    draft = output / f".{engine.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    write_repository(engine, made, draft / REPOSITORY, settings)
    shutil.copyfile(engine / REFERENCE_FILE, draft / REFERENCE_FILE)
    files = {
        file.relative_to(draft).as_posix(): file_sha256(file)
        for file in sorted(draft.rglob("*"))
        if file.is_file()
    }
    name = release_id(files, made["target"])
    about = {
        "id": name,
        "target": made["target"],
        "precision": made["precision"],
        "model_name": settings.model_name,
        "contract_hash": contract.hash,
        "dimensions": list(contract.dimensions),
        "max_length": contract.max_length,
        "engine": artifact.fingerprint,
        "response_cache_mb": settings.response_cache_mb,
        "tensorrt_version": made["tensorrt_version"],
        "compute_capability": made["compute_capability"],
        "files": files,
    }
    (draft / RELEASE_FILE).write_text(json.dumps(about, indent=2) + "\n")
    place = output / name
    if place.exists():
        try:
            found = read_release(place)
            shutil.rmtree(draft)
            return found
        except ArtifactError as error:
            log.warning("building release %s again: %s", name, error.what)
            shutil.rmtree(place)
    draft.rename(place)
    return read_release(place)


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
