"""The encoder contract: one record, hashed, that refuses to be mixed up."""

import json

import pytest

from embedtune.core.contract import EncoderContract, load_contract, require_same
from embedtune.core.errors import ContractError

CONTRACT = EncoderContract(base_model="some/model", dimensions=(8, 4), query_prefix="query: ")


def test_a_passage_is_its_heading_path_a_newline_and_its_text():
    assert CONTRACT.render_passage(["Pump", "Seals"], "Use SK-201.") == "Pump > Seals\nUse SK-201."
    assert CONTRACT.render_passage([], "Use SK-201.") == "Use SK-201."


def test_braces_in_a_document_are_text():
    assert CONTRACT.render_passage(["{text}"], "{heading} {0}").startswith("{") is True
    assert CONTRACT.render_passage([], "a {0} {heading} b") == "a {0} {heading} b"


@pytest.mark.parametrize(
    "change",
    [{"query_prefix": ""}, {"max_length": 256}, {"pooling": "cls"}, {"dimensions": (8,)}, {"revision": "a" * 40}],
)
def test_the_hash_changes_whenever_a_vector_could(change):
    assert CONTRACT.model_copy(update=change).hash != CONTRACT.hash


def test_it_travels_with_the_model_and_notices_edits(tmp_path):
    CONTRACT.save(tmp_path)
    assert load_contract(tmp_path) == CONTRACT
    record = json.loads((tmp_path / "embedtune.json").read_text())
    record["contract"]["max_length"] = 64
    (tmp_path / "embedtune.json").write_text(json.dumps(record))
    with pytest.raises(ContractError, match="was edited"):
        load_contract(tmp_path)


def test_a_directory_without_contract_is_refused(tmp_path):
    with pytest.raises(ContractError, match="carries no encoder contract"):
        load_contract(tmp_path)


def test_a_mismatch_names_the_fields_that_differ():
    other = CONTRACT.model_copy(update={"max_length": 256})
    require_same(CONTRACT, CONTRACT, "the model")
    with pytest.raises(ContractError) as caught:
        require_same(CONTRACT, other, "the model")
    assert caught.value.got == {"max_length": 256} and caught.value.expected == {"max_length": 512}
