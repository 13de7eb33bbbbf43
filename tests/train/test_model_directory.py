"""The model directory that training writes, on a tiny random model."""

import numpy as np
import pytest
import yaml

from embedtune.core.artifacts import read_artifact
from embedtune.core.contract import load_contract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.records.training import EVALUATION_MARK
from tests.support.tiny_model import make_tiny_llama
from tests.support.training_world import make_world, tiny_config, train

TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def vectors(model, config):
    encoder = TorchEncoder(model, config.contract, config.runtime)
    return encoder.encode_queries(TEXTS, SilentProgress()), encoder.encode_passages(TEXTS, SilentProgress())


@pytest.mark.parametrize("make_base", [None, make_tiny_llama], ids=["bert", "llama"])
def test_the_model_loads_unchanged_in_sentence_transformers(world, tmp_path, make_base):
    from sentence_transformers import SentenceTransformer

    if make_base is not None:
        world = make_world(tmp_path / "world", make_base=make_base)
    config = tiny_config(world)
    train(world, tmp_path / "model", config)
    queries, passages = vectors(tmp_path / "model", config)
    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert [type(module).__name__ for module in loaded] == ["Transformer", "Pooling", "Normalize"]
    assert loaded.prompts == {"query": "query: ", "document": "passage: "}
    assert loaded.max_seq_length == 64
    np.testing.assert_allclose(loaded.encode_query(TEXTS), queries, atol=1e-6)
    np.testing.assert_allclose(loaded.encode_document(TEXTS), passages, atol=1e-6)
    assert load_contract(tmp_path / "model") == config.contract


def test_the_model_directory_holds_no_pickle_and_no_checkpoint(world, tmp_path):
    config = tiny_config(world)
    train(world, tmp_path / "model", config)
    names = set(read_artifact(tmp_path / "model", "model").manifest.files)
    assert {"model.safetensors", "modules.json", "embedtune.json", "training.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert list((tmp_path / "cache-model" / "train").iterdir()) == []


def test_the_model_card_has_its_metadata_and_a_place_for_the_figures(world, tmp_path):
    train(world, tmp_path / "model", tiny_config(world))
    _, front, text = (tmp_path / "model" / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["library_name"] == "sentence-transformers"
    assert matter["base_model"] == str(world.base)
    assert (matter["license"], matter["license_name"]) == ("other", "see-base-model")
    assert EVALUATION_MARK in text
    assert "24 rows" in text
    assert "| query prefix | `query: ` |" in text
    assert "$" not in text
