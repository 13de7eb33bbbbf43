"""Weights in one file or in several, and their hash."""

import hashlib
import json
import shutil
import subprocess

import pytest

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.weights import parameters, tensor_names, weights_sha256
from embedtune.core.errors import ContractError, InputError
from embedtune.core.secrets import Secrets
from tests.support.other_user import as_nobody
from tests.support.public_forms import shard
from tests.support.tiny_model import make_tiny_model, tiny_contract


@pytest.fixture
def base(tmp_path):
    return make_tiny_model(tmp_path / "base")


@pytest.fixture
def sharded(base):
    shard(base)
    return base


def resolve(base, **change):
    contract = tiny_contract(base).model_copy(update=change)
    return resolve_base(contract, BaseSettings(), base.parent, StorageSettings(), Secrets())


def test_one_file_has_its_own_hash_and_the_fingerprint_of_before(base):
    file = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(base) == file
    contract = tiny_contract(base)
    record = hashlib.sha256(json.dumps([contract.hash, file]).encode()).hexdigest()[:16]
    assert TorchEncoder(base, contract, RuntimeSettings(device="cpu")).fingerprint == record


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_the_hash_of_several_files_is_what_the_shell_prints(sharded):
    command = "sha256sum model-*.safetensors | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=sharded, capture_output=True, text=True, check=True)
    assert weights_sha256(sharded) == printed.stdout.split()[0]


def test_several_files_are_checked_as_one_set(sharded):
    assert resolve(sharded, weights_sha256=weights_sha256(sharded)) == sharded
    with pytest.raises(ContractError, match="are not those of the contract"):
        resolve(sharded, weights_sha256="0" * 64)


def test_several_files_hold_the_same_tensors(base):
    before = tensor_names(base)
    shard(base)
    assert tensor_names(base) == before and len(before) > 10


def test_a_missing_file_of_several_is_refused(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match="incomplete") as refusal:
        resolve(sharded)
    assert refusal.value.got == "missing: model-00002-of-00002.safetensors"


def test_a_damaged_index_is_refused(sharded):
    (sharded / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        resolve(sharded)


def test_weights_that_may_not_be_read_are_not_called_missing(open_folder):
    model = make_tiny_model(open_folder / "model")
    assert parameters(model) > 0
    model.chmod(0o755)
    (model / "model.safetensors").chmod(0o600)
    with as_nobody(), pytest.raises(PermissionError, match=r"model\.safetensors"):
        parameters(model)


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        parameters(tmp_path)
