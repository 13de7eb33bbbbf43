"""Dense modules and the oldest layout of sentence-transformers directories."""

import json
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.model_files import read_facts
from embedtune.core.encoders.native_form import flat
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.weights import weight_files, weights_sha256
from embedtune.core.errors import ContractError, InputError
from embedtune.core.secrets import Secrets
from tests.support.architectures import add_dense, move_into_folder
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import make_tiny_model, tiny_contract

CPU = RuntimeSettings(device="cpu")


@pytest.fixture
def base(tmp_path):
    """A model whose two Dense modules lead from 32 over 48 to 16 numbers."""
    base = make_tiny_model(tmp_path / "base")
    write_library_files(base, prompts={"query": "query: ", "document": "passage: "})
    add_dense(base, 32, 48, 16)
    return base


def resolve(base, **change):
    contract = tiny_contract(base, (16,)).model_copy(update=change)
    return resolve_base(contract, BaseSettings(), base.parent / "cache", StorageSettings(), Secrets())


def edit(path, **change):
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_the_vector_is_what_the_modules_make_of_the_mean(base, progress):
    assert read_facts(resolve(base)).dimension == 16
    got = TorchEncoder(base, tiny_contract(base, (16,)), CPU).encode_passages(["the kiln"], progress)
    plain = make_tiny_model(base.parent / "plain")
    mean = TorchEncoder(plain, tiny_contract(plain), CPU).encode_passages(["the kiln"], progress)
    first, second = (load_file(base / f"{place}_Dense" / "model.safetensors")["linear.weight"] for place in (2, 3))
    made = mean @ first.T @ second.T  # from the mean at unit length: without biases its length does not count
    np.testing.assert_allclose(got, made / np.linalg.norm(made), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activation_function": "their_code.Swish"}, "Dense (2_Dense) with activation_function their_code.Swish"),
        ({"activation_function": "torch.nn.modules.activation.Softmax"}, "activation.Softmax"),
        ({"module_input_name": "token_embeddings"}, "Dense (2_Dense) with module_input_name token_embeddings"),
        ({"temperature": 2}, "Dense (2_Dense) with the option temperature"),
    ],
)
def test_what_a_dense_module_cannot_do_is_refused_by_name(base, change, says):
    edit(base / "2_Dense" / "config.json", **change)
    with pytest.raises(ContractError, match="cannot honour") as refusal:
        resolve(base)
    assert says in str(refusal.value.got)


def test_another_order_is_refused(base):
    """A Dense module that reads normalised vectors computes something else, if it has a bias."""
    entries = json.loads((base / "modules.json").read_text())
    (base / "modules.json").write_text(json.dumps([*entries[:2], entries[4], *entries[2:4]]))
    with pytest.raises(ContractError, match="cannot honour") as refusal:
        resolve(base)
    assert refusal.value.got == "Dense (2_Dense) after Normalize, Dense (3_Dense) after Normalize"


def test_pickled_weights_of_a_dense_module_are_refused(base):
    (base / "2_Dense" / "model.safetensors").rename(base / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"Dense module in .* has no safetensors weights"):
        resolve(base)


def test_one_hash_covers_all_weights(base):
    assert [str(file.relative_to(base)) for file in weight_files(base)] == [
        "model.safetensors",
        "2_Dense/model.safetensors",
        "3_Dense/model.safetensors",
    ]
    command = "sha256sum model*.safetensors */model.safetensors | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=base, capture_output=True, text=True, check=True).stdout
    assert weights_sha256(base) == printed.split()[0]
    assert resolve(base, weights_sha256=printed.split()[0]) == base


def test_other_dense_weights_are_another_encoder(base):
    contract = tiny_contract(base, (16,))
    before = TorchEncoder(base, contract, CPU).fingerprint
    weights = base / "3_Dense" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    assert TorchEncoder(base, contract, CPU).fingerprint != before


def test_the_oldest_layout_is_read_by_links(base, progress):
    expected = TorchEncoder(base, tiny_contract(base, (16,)), CPU).encode_passages(["the kiln"], progress)
    move_into_folder(base)
    found = resolve(base)
    assert found != base and resolve(base) == found
    assert (found / "model.safetensors").is_symlink() and not (found / "0_Transformer").exists()
    assert read_facts(found).max_length == 64
    got = TorchEncoder(found, tiny_contract(base, (16,)), CPU).encode_passages(["the kiln"], progress)
    np.testing.assert_array_equal(got, expected)


def test_the_current_layout_is_left_as_it_is(base):
    assert flat(base, base.parent / "cache") == base
    assert flat(make_tiny_model(base.parent / "plain"), base.parent / "cache") == base.parent / "plain"
