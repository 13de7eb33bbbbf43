"""The encoder contract: one record, hashed, that cannot be mixed up unnoticed."""

import json
from pathlib import Path

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


def edited(tmp_path: Path, **fields: object) -> None:
    """Save the contract and change fields of the file; None removes one."""
    CONTRACT.save(tmp_path)
    path = tmp_path / "embedtune.json"
    record = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def test_the_hash_is_the_same_in_every_version_of_embedtune():
    # It is part of the keys of vector caches, and is stored with models and releases.
    assert CONTRACT.hash == "ed9ca5b7bfb1801b"


def test_it_travels_with_the_model(tmp_path: Path):
    CONTRACT.save(tmp_path)
    assert load_contract(tmp_path) == CONTRACT
    record = json.loads((tmp_path / "embedtune.json").read_text())
    assert (record["schema_name"], record["schema_version"]) == ("contract", 1)
    assert record["contract_hash"] == CONTRACT.hash


def test_an_edit_is_noticed(tmp_path: Path):
    edited(tmp_path, contract=CONTRACT.model_copy(update={"max_length": 64}).model_dump(mode="json"))
    with pytest.raises(ContractError, match="was edited"):
        load_contract(tmp_path)


def test_a_file_from_before_versions_is_read(tmp_path: Path):
    edited(tmp_path, schema_name=None, schema_version=None)
    assert load_contract(tmp_path) == CONTRACT


def test_another_version_is_refused_by_name(tmp_path: Path):
    edited(tmp_path, schema_version=2, contract={"pool": "mean"})
    with pytest.raises(ContractError, match="a different version") as caught:
        load_contract(tmp_path)
    assert (caught.value.got, caught.value.expected) == ("contract version 2", "contract version 1")


def test_a_record_of_another_kind_is_refused_by_name(tmp_path: Path):
    edited(tmp_path, schema_name="verdict")
    with pytest.raises(ContractError, match="a different version") as caught:
        load_contract(tmp_path)
    assert caught.value.got == "verdict version 1"


@pytest.mark.parametrize("fields", [{"contract": None}, {"contract_hash": None}, {"contract": {"pool": "mean"}}])
def test_a_file_without_its_fields_is_damaged(tmp_path: Path, fields):
    edited(tmp_path, **fields)
    with pytest.raises(ContractError, match="is damaged"):
        load_contract(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_no_json_object_is_damaged(tmp_path: Path, text):
    (tmp_path / "embedtune.json").write_text(text)
    with pytest.raises(ContractError, match="is damaged"):
        load_contract(tmp_path)


def test_a_directory_without_contract_is_refused(tmp_path):
    with pytest.raises(ContractError, match="has no encoder contract"):
        load_contract(tmp_path)


def test_a_mismatch_names_the_fields_that_differ():
    other = CONTRACT.model_copy(update={"max_length": 256})
    require_same(CONTRACT, CONTRACT, "the model")
    with pytest.raises(ContractError) as caught:
        require_same(CONTRACT, other, "the model")
    assert caught.value.got == {"max_length": 256} and caught.value.expected == {"max_length": 512}
