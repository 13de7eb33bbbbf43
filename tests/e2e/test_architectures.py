"""A tiny checkpoint of each architecture, as published, from documents to an engine with the same vectors."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embedtune.core.artifacts import read_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.modules import dense_folders
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import PARITY_FILE, Parity
from embedtune.core.secrets import Secrets
from embedtune.local.own_contract import config_text
from embedtune.local.runner import Job, run
from tests.support.architectures import ARCHITECTURES
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import overrides, write_documents

TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum when the belt is wet"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("documents") / "documents")


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def own_config(base: Path, folder: Path, url: str) -> Config:
    """Return what `embedtune init --base` writes for a base model, with the settings of a tiny run."""
    file = folder / "embedtune.yaml"
    file.write_text(config_text("minilm", str(base), None, Secrets()))
    settings = [line for line in overrides(folder / "unused", url).splitlines() if "contract." not in line]
    alike = ["generate.duplicate_similarity=0.9999", "train.learning_rate=1e-3"]
    return load_config(file, [*settings, *alike])


def vectors(encoder: TorchEncoder | OnnxEncoder) -> Vectors:
    methods = (encoder.encode_queries, encoder.encode_passages)
    return np.concatenate([method(TEXTS, SilentProgress()) for method in methods])


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_stages_keep_what_the_model_is(
    tmp_path: Path, documents: Path, server: OpenAIServer, name: str
) -> None:
    kind = ARCHITECTURES[name]
    base = kind.base(tmp_path / "base")
    config = own_config(base, tmp_path, server.url)
    own = kind.own_contract(base)
    said = {"pooling", "query_prefix", "passage_prefix"} if name != "multilingual-e5" else {"pooling"}
    assert config.contract.model_dump(include=said) == own.model_dump(include=said)
    assert config.contract.dimensions[0] == own.dimensions[0]
    work = tmp_path / "work"
    run(Job(work, config, Secrets(), source=str(documents), last="export"), SilentProgress())

    model = read_artifact(work / "model", "model").path
    tuned = TorchEncoder(model, config.contract, config.runtime)
    expected = vectors(tuned)
    native = resolve_base(config.contract, config.base, work / "cache", config.storage, Secrets())
    untouched = TorchEncoder(native, config.contract, config.runtime)
    assert not np.allclose(expected, vectors(untouched), atol=1e-3), "training changed nothing"
    require_trained_dense(untouched, tuned)
    require_same_settings(native, model)
    loaded = SentenceTransformer(str(model), device="cpu")
    library = np.concatenate([loaded.encode_query(TEXTS), loaded.encode_document(TEXTS)])
    np.testing.assert_allclose(library, expected, atol=1e-6)
    engine = read_artifact(work / "engine", "engine").path
    assert read_record(engine / PARITY_FILE, Parity).variants["fp32"].passed is True
    np.testing.assert_allclose(vectors(OnnxEncoder(engine, config.runtime)), expected, atol=1e-5)


def require_trained_dense(base: TorchEncoder, tuned: TorchEncoder) -> None:
    """Check that each Dense module was trained and saved."""
    assert len(dense_folders(base.path)) == len(dense_folders(tuned.path))
    for before, after in zip(list(base.model)[2:-1], list(tuned.model)[2:-1], strict=True):
        assert not np.array_equal(before.linear.weight.detach(), after.linear.weight.detach())


def require_same_settings(base: Path, model: Path) -> None:
    """Check what decides the attention of the saved model: a lost flag would change it without an error."""
    files = [json.loads((path / "config.json").read_text()) for path in (base, model)]
    names = ("model_type", "is_causal", "use_bidirectional_attention", "sliding_window", "layer_types")
    before, after = ({name: file.get(name) for name in names} for file in files)
    assert before == after
