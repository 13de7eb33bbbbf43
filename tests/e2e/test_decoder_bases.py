"""A tiny Llama in each form in which such models are published: train, save, load, export, and equal vectors."""

import json

import numpy as np
import pytest

from embedtune.core.artifacts import read_artifact
from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import PARITY_FILE, Parity
from embedtune.core.secrets import Secrets
from embedtune.export.stage import run as export
from tests.support.context import context
from tests.support.public_forms import make_public_form
from tests.support.training_world import World, make_world, tiny_config, train, weights

TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum"]


def make(root, form: str) -> World:
    return make_world(root, make_base=lambda path: make_public_form(path, form))


def vectors(encoder):
    return encoder.encode_passages(TEXTS, SilentProgress())


def require_a_bidirectional_model(world: World, model, config: Config) -> None:
    """Check the saved model: its flag, its card, its weights, and its vectors in sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    saved = json.loads((model / "config.json").read_text())
    assert (saved["model_type"], saved["architectures"], saved["is_causal"]) == ("llama", ["LlamaModel"], False)
    assert "auto_map" not in saved and not list(model.glob("*.py"))
    assert "transformers 5.2" in (model / "README.md").read_text()
    base = resolve_base(config.contract, config.base, model.parent, config.storage, Secrets())
    tuned = vectors(TorchEncoder(model, config.contract, config.runtime))
    assert not np.allclose(tuned, vectors(TorchEncoder(base, config.contract, config.runtime)), atol=1e-3)
    loaded = SentenceTransformer(str(model), device="cpu")
    np.testing.assert_allclose(loaded.encode_document(TEXTS), tuned, atol=1e-6)
    # One token later in a text reaches the vector of its first token.
    ends = [loaded.preprocess([text]) for text in ("valve open", "valve shut")]
    first, second = (loaded[0](tokens)["token_embeddings"][0, 0].detach().numpy() for tokens in ends)
    assert not np.allclose(first, second, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sharded", "with-head"])  # test_architectures has one with all library files
def test_from_training_to_an_engine_with_the_same_vectors(tmp_path, form):
    world = make(tmp_path / "world", form)
    config = tiny_config(world, epochs=1)
    train(world, tmp_path / "model", config)
    require_a_bidirectional_model(world, tmp_path / "model", config)
    export(tmp_path / "model", world.dataset, tmp_path / "engine", context(config, tmp_path / "cache"))
    engine = read_artifact(tmp_path / "engine", "engine").path
    assert read_record(engine / PARITY_FILE, Parity).variants["fp32"].passed is True
    torch = TorchEncoder(tmp_path / "model", config.contract, config.runtime)
    np.testing.assert_allclose(vectors(OnnxEncoder(engine, config.runtime)), vectors(torch), atol=1e-5)


def test_adapters_are_merged_into_the_converted_model(tmp_path):
    world = make(tmp_path / "world", "code")
    config = tiny_config(world, epochs=1, learning_rate=1e-2, lora={"rank": 4, "alpha": 8})
    train(world, tmp_path / "model", config)
    require_a_bidirectional_model(world, tmp_path / "model", config)
    assert not [name for name in weights(tmp_path / "model") if "lora" in name]
