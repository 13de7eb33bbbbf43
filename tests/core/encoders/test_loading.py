"""Checkpoints that are not what the architecture of their name is: nothing is made up for what they lack."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.model_files import read_facts, require_supported
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ContractError
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import make_tiny_model, tiny_contract

CPU = RuntimeSettings(device="cpu")
CODE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "base")


def without(base, part):
    """Remove the tensors with a part in their names, and return how many there were."""
    file = base / "model.safetensors"
    tensors = load_file(file)
    kept = {name: tensor for name, tensor in tensors.items() if part not in name}
    save_file(kept, file, metadata={"format": "pt"})
    return len(tensors) - len(kept)


def configure(base, **change):
    file = base / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def test_weights_that_are_missing_are_not_random_numbers(base):
    assert without(base, "position_embeddings") == 1
    with pytest.raises(ContractError, match="not those of a BertModel") as refusal:
        load_model(base, tiny_contract(base), CPU)
    assert "embeddings.position_embeddings.weight" in refusal.value.got
    assert "code" not in refusal.value.got


def test_code_of_the_models_own_is_named_where_weights_are_missing(base):
    without(base, "position_embeddings")
    configure(base, auto_map=CODE)
    with pytest.raises(ContractError, match="not those of a BertModel") as refusal:
        load_model(base, tiny_contract(base), CPU)
    assert "modeling_own.OwnModel" in refusal.value.got
    assert "contract.trust_remote_code" in refusal.value.fix


def test_the_pooler_of_bert_may_be_missing_because_it_is_not_used(base):
    texts = ["a kiln", "the press is stuck"]
    whole = load_model(base, tiny_contract(base), CPU).encode(texts)
    assert without(base, "pooler.") == 2
    np.testing.assert_array_equal(load_model(base, tiny_contract(base), CPU).encode(texts), whole)


def test_an_architecture_that_exists_only_as_code_is_refused(base):
    configure(base, model_type="new", auto_map=CODE)
    with pytest.raises(ContractError, match="needs Python code of its own") as refusal:
        load_model(base, tiny_contract(base), CPU)
    assert "model_type new" in refusal.value.got


def test_an_architecture_that_nobody_knows_is_refused(base):
    configure(base, model_type="never-heard-of")
    with pytest.raises(ContractError, match="does not know the architecture") as refusal:
        load_model(base, tiny_contract(base), CPU)
    assert "never-heard-of" in refusal.value.got


def test_a_reranker_is_refused(base):
    configure(base, architectures=["BertForSequenceClassification"])
    with pytest.raises(ContractError, match="cannot honour") as refusal:
        require_supported(base, read_facts(base))
    assert "BertForSequenceClassification" in refusal.value.got


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder"])
def test_other_kinds_of_models_of_the_library_are_refused(base, kind):
    write_library_files(base)
    file = base / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": kind}))
    with pytest.raises(ContractError, match="cannot honour") as refusal:
        require_supported(base, read_facts(base))
    assert kind in refusal.value.got


def test_prompts_whose_names_do_not_say_what_they_are_for_are_kept(base):
    write_library_files(base, prompts={"web": "Find: ", "same": "Alike: ", "passage": ""})
    assert read_facts(base).other_prompts == {"web": "Find: ", "same": "Alike: "}
    (base / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "q: ", "web": "w: "}})
    )
    assert read_facts(base).other_prompts == {}
