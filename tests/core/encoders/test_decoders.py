"""Decoders as bases: both directions of attention, and checkpoints that come with Python code."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModel

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.native_form import native_config
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.errors import ContractError
from embedtune.core.secrets import Secrets
from tests.support.public_forms import FORMS, make_public_form
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_llama, make_tiny_model, tiny_contract

CPU = RuntimeSettings(device="cpu")
TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum"]


def resolve(base, cache):
    return resolve_base(tiny_contract(base), BaseSettings(), cache, StorageSettings(), Secrets())


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_causal_model_is_refused(tmp_path, pooling):
    base = make_tiny_llama(tmp_path, bidirectional=False)
    contract = tiny_contract(base).model_copy(update={"pooling": pooling})
    with pytest.raises(ContractError, match="is causal: its first token does not see its last one"):
        load_model(base, contract, CPU)


def test_a_causal_model_may_use_its_last_token(tmp_path):
    base = make_tiny_llama(tmp_path, bidirectional=False)
    model = load_model(base, tiny_contract(base).model_copy(update={"pooling": "lasttoken"}), CPU)
    assert model.encode(["the kiln"]).shape == (1, TINY_DIMENSION)


def test_a_model_that_is_causal_against_its_configuration_is_refused(tmp_path, monkeypatch):
    """As transformers before 5.2 loads it: the flag is there, and nothing reads it."""
    import transformers.models.llama.modeling_llama as modeling

    base, mask = make_tiny_llama(tmp_path), modeling.create_causal_mask

    def causal_mask(config, **arguments):
        arguments["config"] = type(config).from_dict(config.to_dict() | {"is_causal": True})
        arguments["config"]._attn_implementation = config._attn_implementation
        return mask(**arguments)

    monkeypatch.setattr(modeling, "create_causal_mask", causal_mask)
    contract = tiny_contract(base).model_copy(update={"pooling": "lasttoken"})
    with pytest.raises(ContractError, match="is causal"):
        load_model(base, contract, CPU)


def test_code_that_looks_ahead_only_without_padding_is_refused(tmp_path, monkeypatch):
    """Older code of Llama-Nemotron-Embed sets `is_causal` at the layers, and its mask is never called."""
    import transformers.models.llama.modeling_llama as modeling

    base, mask = make_tiny_llama(tmp_path), modeling.create_causal_mask

    def padded_is_causal(config, attention_mask, **arguments):
        causal = attention_mask is not None and not bool(attention_mask.all())
        twin = type(config).from_dict(config.to_dict() | {"is_causal": not causal and config.is_causal})
        twin.is_causal = causal
        twin._attn_implementation = config._attn_implementation
        return mask(config=twin, attention_mask=attention_mask, **arguments)

    monkeypatch.setattr(modeling, "create_causal_mask", padded_is_causal)
    with pytest.raises(ContractError, match="in a padded batch"):
        load_model(base, tiny_contract(base), CPU)


def test_encoders_pass(tmp_path):
    model = load_model(make_tiny_model(tmp_path), tiny_contract(tmp_path), CPU)
    assert model.encode(["the kiln"]).shape == (1, TINY_DIMENSION)


@pytest.mark.parametrize("form", FORMS)
def test_each_public_form_has_the_vectors_of_the_native_one(tmp_path, progress, form):
    base = make_public_form(tmp_path / "base", form)
    found = resolve(base, tmp_path / "cache")
    config = json.loads((found / "config.json").read_text())
    assert (config["model_type"], config["is_causal"]) == ("llama", False)
    assert not {"auto_map", "pooling", "temperature"} & config.keys() and not list(found.glob("*.py"))
    got = TorchEncoder(found, tiny_contract(base), CPU).encode_passages(TEXTS, progress)
    twin = make_tiny_llama(tmp_path / "twin")
    expected = TorchEncoder(twin, tiny_contract(twin), CPU).encode_passages(TEXTS, progress)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("padding", [0, 2])
def test_eager_attention_and_sdpa_agree(tmp_path, padding):
    make_tiny_llama(tmp_path)
    tokens = torch.tensor([[5, 6, 7, 8] + [0] * padding])
    mask = torch.tensor([[1] * 4 + [0] * padding])
    with torch.no_grad():
        eager, sdpa = (
            AutoModel.from_pretrained(tmp_path, attn_implementation=name)(input_ids=tokens, attention_mask=mask)
            for name in ("eager", "sdpa")
        )
    torch.testing.assert_close(eager.last_hidden_state[:, :4], sdpa.last_hidden_state[:, :4], rtol=0, atol=1e-5)


def test_a_converted_model_is_converted_once_and_again_when_it_changes(tmp_path):
    base = make_public_form(tmp_path / "base", "code")
    first = resolve(base, tmp_path / "cache")
    assert resolve(base, tmp_path / "cache") == first
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}))
    second = resolve(base, tmp_path / "cache")
    assert second != first and json.loads((second / "config.json").read_text())["rms_norm_eps"] == 1e-5


def test_the_pooling_in_a_checkpoints_configuration_counts(tmp_path):
    base = make_public_form(tmp_path / "base", "code")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"pooling": "last"}))
    with pytest.raises(ContractError, match="lasttoken"):
        resolve(base, tmp_path / "cache")


def test_weights_of_something_else_are_refused(tmp_path):
    """A reranker has the same type and one more tensor."""
    from safetensors.numpy import load_file, save_file

    base = make_public_form(tmp_path / "base", "code")
    tensors = load_file(base / "model.safetensors") | {"score.weight": np.zeros((1, 32), np.float32)}
    tensors.pop("norm.weight")
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ContractError, match=r"1 missing \['norm.weight'\], 1 unknown \['score.weight'\]"):
        resolve(base, tmp_path / "cache")


def test_the_conversion_keeps_what_the_model_is(tmp_path):
    own = {"model_type": "llama_bidirec", "hidden_size": 64, "rope_theta": 5e5, "temperature": 0.02, "top_p": 0.9}
    assert native_config(own) == {
        "model_type": "llama",
        "architectures": ["LlamaModel"],
        "is_causal": False,
        "hidden_size": 64,
        "rope_theta": 5e5,
    }
