"""An architecture that PyTorch cannot export is refused before the first stage."""

import json

import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.encoders.modules import read_json
from embedtune.core.errors import ContractError
from embedtune.core.secrets import Secrets
from embedtune.local.preflight import exportable
from embedtune.local.preflight.checks import CHECKS
from embedtune.local.preflight.exportable import KNOWN, check_export
from embedtune.local.preflight.finding import IntendedRun
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model, wordpiece_tokenizer


def intended(model) -> IntendedRun:
    contract = {"base_model": str(model), "dimensions": [TINY_DIMENSION], "max_length": 32}
    config = parse_config({"contract": contract})
    return IntendedRun(config, Secrets(), frozenset({"export"}), work=model.parent / "work")


def make_longformer(path):
    """A model whose code chooses its way by the values of its input."""
    import torch
    from transformers import LongformerConfig, LongformerModel

    tokenizer = wordpiece_tokenizer(64)
    torch.manual_seed(0)
    sizes = {"hidden_size": TINY_DIMENSION, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 8, "max_position_embeddings": 66, "attention_window": 16}
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    LongformerModel(LongformerConfig(**sizes, **ids)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.slow
def test_an_architecture_that_cannot_be_exported_is_refused_with_its_name(tmp_path):
    with pytest.raises(ContractError, match="cannot export this model") as refusal:
        list(check_export(intended(make_longformer(tmp_path / "model"))))
    assert "LongformerModel" in refusal.value.got


def test_an_unknown_architecture_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(exportable, "KNOWN", frozenset())
    (finding,) = check_export(intended(make_tiny_model(tmp_path / "model")))
    assert (finding.status, finding.found) == ("fine", "architecture bert, exported as a test")


def test_a_known_architecture_is_not_loaded(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    (model / "config.json").write_text(json.dumps({"model_type": "bert"}))  # it could not be
    (finding,) = check_export(intended(model))
    assert (finding.status, finding.found) == ("fine", "architecture bert")


def test_a_run_that_exports_nothing_does_not_ask():
    (check,) = [check for check in CHECKS if check.find is check_export]
    assert check.stages == {"export"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_architectures_that_the_tests_export_are_known(tmp_path, name):
    path = ARCHITECTURES[name].base(tmp_path / "base")
    kinds = {read_json(file).get("model_type", "") for file in path.rglob("config.json")}
    assert {kind.removesuffix("_bidirec") for kind in kinds if kind} <= KNOWN
