"""Build a release: an immutable directory with a Triton model repository, named by the hash of its content."""

import logging
import shutil
from pathlib import Path

from embedtune.core.artifacts import file_sha256, read_artifact
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import load_contract
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.engine import ENGINE_FILE, Engine
from embedtune.serve.release.model_repository import write_repository
from embedtune.serve.release.record import (
    REFERENCE_FILE,
    RELEASE_FILE,
    REPOSITORY,
    Release,
    ReleaseRecord,
    read_release,
    release_id,
)

log = logging.getLogger(__name__)


def build_release(engine: Path, output: Path, settings: ServeSettings) -> Release:
    """Build the release of an engine. An existing one with the same content is kept; a damaged one is replaced.

    Args:
        engine: The engine artifact's directory.
        output: Directory to put the release into; it is named by its id.
        settings: Batching, limits and the model's name.

    Raises:
        ArtifactError: The engine is damaged.
        ConfigError: The engine does not accept batches as large as the settings allow.
    """
    fingerprint = read_artifact(engine, "engine").fingerprint
    built = read_record(engine / ENGINE_FILE, Engine)
    draft = output / f".{engine.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    write_repository(engine, built, draft / REPOSITORY, settings)
    shutil.copyfile(engine / REFERENCE_FILE, draft / REFERENCE_FILE)
    record = _describe(draft, engine, built, fingerprint, settings)
    write_record(draft / RELEASE_FILE, record)
    target = output / record.id
    if target.exists():
        try:
            found = read_release(target)
        except ArtifactError as error:
            log.warning("rebuilding release %s: %s", record.id, error.what)
            shutil.rmtree(target)
        else:
            shutil.rmtree(draft)
            return found
    draft.rename(target)
    return Release(target, record)


def _describe(
    draft: Path, engine: Path, built: Engine, fingerprint: str, settings: ServeSettings
) -> ReleaseRecord:
    """Hash the files of a release and return its record."""
    contract = load_contract(engine)
    files = {
        file.relative_to(draft).as_posix(): file_sha256(file)
        for file in sorted(draft.rglob("*"))
        if file.is_file()
    }
    return ReleaseRecord(
        id=release_id(files, built.target),
        target=built.target,
        precision=built.precision,
        model_name=settings.model_name,
        contract_hash=contract.hash,
        dimensions=contract.dimensions,
        max_length=contract.max_length,
        engine=fingerprint,
        response_cache_mb=settings.response_cache_mb,
        tensorrt_version=built.tensorrt_version,
        compute_capability=built.compute_capability,
        files=files,
    )
