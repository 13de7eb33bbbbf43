"""A release: one immutable directory with a complete Triton model repository, named by the hash of its content."""

import json
import logging
import shutil
from pathlib import Path

from embedtune.core.artifacts import file_sha256, read_artifact
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import load_contract
from embedtune.core.errors import ArtifactError
from embedtune.serve.release.record import (
    REFERENCE_FILE,
    RELEASE_FILE,
    REPOSITORY,
    Release,
    read_release,
    release_id,
)
from embedtune.serve.release.repository import write_repository

log = logging.getLogger(__name__)


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
