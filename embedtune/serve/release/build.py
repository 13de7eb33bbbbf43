"""Build a release: an immutable directory of data, named by the hash of its content."""

import logging
import shutil
from pathlib import Path

from tokenizers import Tokenizer

from embedtune.core.artifacts import file_sha256, read_artifact
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.config.export import ExportSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import CONTRACT_FILE, load_contract
from embedtune.core.encoders.onnx import TOKENIZER_FILE
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.engine import ENGINE_FILE, Engine
from embedtune.core.retrieval.corpus_sample import CORPUS_SAMPLE_FILE
from embedtune.serve.release.proof import Fits, Kind, read_reference, write_proof
from embedtune.serve.release.record import (
    PROOF_FILE,
    REFERENCE_FILE,
    RELEASE_FILE,
    Proving,
    Release,
    ReleaseRecord,
    read_release,
)

log = logging.getLogger(__name__)


def build_release(
    engine: Path,
    output: Path,
    serve: ServeSettings,
    deploy: DeploySettings | None = None,
    export: ExportSettings | None = None,
) -> Release:
    """Build the release of an engine. An existing one with the same content is kept; a damaged one is replaced.

    Args:
        engine: The engine artifact's directory.
        output: Directory to put the release into; it is named by its id.
        serve: Batching, limits and the model's name.
        deploy: How many texts a replica encodes as proof, and how close their vectors must be; None: the defaults.
        export: Lowest cosine of each precision, where `deploy` sets none; None: the defaults.

    Raises:
        ArtifactError: The engine is damaged.
        ConfigError: The engine does not accept batches as large as the settings allow.
    """
    fingerprint = read_artifact(engine, "engine").fingerprint
    built = read_record(engine / ENGINE_FILE, Engine)
    _require_batch(built, serve)
    deploy, export = deploy or DeploySettings(), export or ExportSettings()
    limit = export.min_cosine(built.precision) if deploy.min_cosine is None else deploy.min_cosine
    draft = output / f".{engine.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    # Weights above 2 GB are in a file next to the graph, which names it.
    for name in (built.file, TOKENIZER_FILE, CONTRACT_FILE, REFERENCE_FILE):
        shutil.copyfile(engine / name, draft / name)
    for name in (f"{built.file}.data", CORPUS_SAMPLE_FILE):
        if (engine / name).is_file():
            shutil.copyfile(engine / name, draft / name)
    reference = read_reference(engine / REFERENCE_FILE, deploy.smoke_texts, _accepted(engine, serve))
    if not reference.texts:
        raise ConfigError(
            "no reference text of the engine is short enough for the endpoint, so that no replica could prove it",
            got=f"serve.max_text_bytes={serve.max_text_bytes}, serve.on_long_text={serve.on_long_text}",
            fix="raise serve.max_text_bytes, or set serve.on_long_text=truncate",
        )
    write_proof(draft / PROOF_FILE, reference)
    proving = Proving(texts=len(reference.texts), min_cosine=limit)
    record = _describe(draft, built, fingerprint, serve, proving)
    write_record(draft / RELEASE_FILE, record)
    return _keep(draft, output / record.id, record)


def _accepted(engine: Path, serve: ServeSettings) -> Fits:
    """Return whether the endpoint will accept a text, by its limits on bytes and, if so configured, on tokens."""
    contract = load_contract(engine)
    prefixes = {"query": contract.query_prefix, "passage": contract.passage_prefix}
    tokenizer: Tokenizer | None = None
    if serve.on_long_text == "refuse":
        tokenizer = Tokenizer.from_file(str(engine / TOKENIZER_FILE))
        tokenizer.no_truncation()
        tokenizer.no_padding()

    def fits(text: str, kind: Kind) -> bool:
        if len(text.encode()) > serve.max_text_bytes:
            return False
        return tokenizer is None or len(tokenizer.encode(prefixes[kind] + text).ids) <= contract.max_length

    return fits


def _keep(draft: Path, target: Path, record: ReleaseRecord) -> Release:
    if target.exists():
        try:
            found = read_release(target, record.id)
        except ArtifactError as error:
            log.warning("rebuilding release %s: %s", record.id, error.what)
            shutil.rmtree(target)
        else:
            shutil.rmtree(draft)
            return found
    draft.rename(target)
    return Release(target, record)


def _describe(
    draft: Path, built: Engine, fingerprint: str, serve: ServeSettings, proving: Proving
) -> ReleaseRecord:
    """Hash the files of a release and return its record."""
    contract = load_contract(draft)
    return ReleaseRecord(
        target=built.target,
        precision=built.precision,
        contract_hash=contract.hash,
        dimensions=contract.dimensions,
        hidden=built.hidden,
        max_length=contract.max_length,
        engine=fingerprint,
        serve=serve,
        proving=proving,
        tensorrt_version=built.tensorrt_version,
        compute_capability=built.compute_capability,
        files={file.name: file_sha256(file) for file in sorted(draft.iterdir())},
    )


def _require_batch(built: Engine, settings: ServeSettings) -> None:
    largest = built.max_batch_size
    if largest is not None and settings.max_batch_size > largest:
        raise ConfigError(
            "Triton would form larger batches than the TensorRT engine accepts",
            got=f"serve.max_batch_size={settings.max_batch_size}",
            expected=f"at most {largest}, which the engine was built for",
            fix=f"set serve.max_batch_size={largest}, or export again with a larger export.tensorrt_batch",
        )
