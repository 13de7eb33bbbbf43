"""A base model's own files, and a contract that says something else."""

import json

import pytest

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.model_files import read_facts
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ContractError, InputError
from embedtune.core.secrets import Secrets
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import make_tiny_model, tiny_contract


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "base")


def resolve(base, force=(), **change):
    contract = tiny_contract(base).model_copy(update=change)
    return resolve_base(contract, BaseSettings(force=force), base.parent, StorageSettings(), Secrets())


SAME = {"prompts": {"query": "query: ", "document": "passage: "}}


def test_a_contract_that_says_the_same_is_accepted(base):
    write_library_files(base, **SAME)
    assert resolve(base) == base


def test_a_model_without_such_files_is_accepted(base):
    assert resolve(base) == base


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_length": 257}, ("contract.max_length 257", "contract.max_length=256")),
        ({"dimensions": [64, 16]}, ("32", "contract.dimensions=[32]")),
    ],
)
def test_lengths_and_sizes_that_the_model_has_not_are_refused_before_it_is_loaded(base, change, told):
    got, fix = told
    with pytest.raises(ContractError, match="contract") as refused:
        resolve(base, **change)
    assert str(refused.value.got) == got
    assert fix in str(refused.value.fix)


@pytest.mark.parametrize(
    ("files", "name", "own"),
    [
        ({"pooling": "cls"}, "pooling", "cls"),
        ({"pooling": "cls+mean"}, "pooling", "cls+mean"),
        ({"max_seq_length": 32}, "max_length", "32"),
        ({"prompts": {"query": "q: ", "document": "passage: "}}, "query_prefix", "q: "),
        ({"prompts": {"query": "query: ", "document": ""}}, "passage_prefix", "''"),
        ({"similarity": "manhattan"}, "similarity", "manhattan"),
        (
            {"similarity": "dot", "modules": ("Transformer", "Pooling")},
            "similarity",
            "dot of vectors that are not normalised",
        ),
    ],
)
def test_a_difference_is_refused_unless_forced_by_name(base, files, name, own):
    write_library_files(base, **(SAME | files))
    with pytest.raises(ContractError, match="differs from the base model's own files") as refusal:
        resolve(base)
    assert str(getattr(tiny_contract(base), name)) in str(refusal.value.got)
    assert f"'contract.{name}'" in str(refusal.value.expected) and own in str(refusal.value.expected)
    assert f'base.force=["{name}"]' in (refusal.value.fix or "")
    assert resolve(base, force=(name,)) == base
    others = tuple({"pooling", "max_length", "query_prefix", "passage_prefix", "similarity"} - {name})
    with pytest.raises(ContractError):
        resolve(base, force=others)


@pytest.mark.parametrize("pooling", ["max", "mean_sqrt_len_tokens", "weightedmean"])
def test_a_pooling_that_no_contract_can_say_is_named_with_those_that_it_can(base, pooling):
    write_library_files(base, **(SAME | {"pooling": pooling}))
    with pytest.raises(ContractError) as refusal:
        resolve(base)
    assert refusal.value.expected == {"contract.pooling": pooling}
    assert "only the poolings mean, cls, lasttoken" in (refusal.value.fix or "")


def test_all_differences_are_named_at_once(base):
    write_library_files(base, pooling="cls", max_seq_length=32)
    with pytest.raises(ContractError) as refusal:
        resolve(base)
    assert refusal.value.got == {"contract.pooling": "mean", "contract.max_length": 64}
    assert refusal.value.expected == {"contract.pooling": "cls", "contract.max_length": 32}


def test_what_changes_no_vector_is_accepted(base):
    """A shorter maximum length, prompts that are not named, cosine without normalisation."""
    write_library_files(base, max_seq_length=128, prompts={"query": "", "document": ""}, similarity=None)
    assert resolve(base) == base


@pytest.mark.parametrize("kind", ["Dropout", "LayerNorm", "their_code.Projection"])
def test_modules_that_cannot_be_honoured_are_refused_by_name(base, kind):
    write_library_files(base, modules=("Transformer", "Pooling", kind, "Normalize"), **SAME)
    with pytest.raises(ContractError, match="cannot honour") as refusal:
        resolve(base, force=("pooling", "similarity"))
    assert kind in str(refusal.value.got)


def test_a_prompt_outside_the_pooling_is_refused(base):
    write_library_files(base, **SAME)
    file = base / "1_Pooling" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"include_prompt": False}))
    with pytest.raises(ContractError, match="include_prompt"):
        resolve(base)


def test_lower_casing_outside_the_tokenizer_is_refused(base):
    write_library_files(base, **SAME)
    (base / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": true}')
    assert resolve(base) == base  # the tokenizer's own normaliser does it
    file = base / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": None}))
    with pytest.raises(ContractError, match="do_lower_case"):
        resolve(base)


def test_a_damaged_file_is_an_input_error(base):
    (base / "modules.json").write_text("[")
    with pytest.raises(InputError, match=r"modules\.json is damaged"):
        resolve(base)


def test_a_model_that_the_library_saved_says_what_its_contract_said(base, tmp_path):
    contract = tiny_contract(base)
    load_model(base, contract, RuntimeSettings(device="cpu")).save_pretrained(str(tmp_path / "saved"))
    facts = read_facts(tmp_path / "saved")
    assert facts.differences(contract) == {} and facts.unsupported == ()
    assert (facts.pooling, facts.max_length, facts.dimension) == ("mean", 64, 32)
    assert (facts.query_prefix, facts.passage_prefix, facts.similarity) == ("query: ", "passage: ", "dot")
