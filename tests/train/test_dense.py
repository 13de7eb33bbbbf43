"""Dense modules are trained as a whole next to adapters, which do not contain them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.progress import SilentProgress
from embedtune.train.model import save_model
from tests.support.architectures import add_dense
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import make_tiny_model, tiny_contract
from tests.support.training_world import Interrupt, make_world, tiny_config, train

LORA = {"rank": 4, "alpha": 8}


def make_base(path):
    make_tiny_model(path)
    write_library_files(path, prompts={"query": "query: ", "document": "passage: "})
    add_dense(path, 32, 48, 32)
    return path


def dense_weights(model):
    return [load_file(model / f"{place}_Dense" / "model.safetensors")["linear.weight"] for place in (2, 3)]


def test_they_are_trained_and_kept_with_adapters_and_after_an_interruption(tmp_path):
    from sentence_transformers import SentenceTransformer

    world = make_world(tmp_path / "world", make_base=make_base)
    config = tiny_config(world, learning_rate=1e-2, lora=LORA)
    train(world, tmp_path / "model", config)
    tuned = dense_weights(tmp_path / "model")
    for before, after in zip(dense_weights(world.base), tuned, strict=True):
        assert not np.allclose(before, after, atol=1e-4)
    texts = ["the kiln", "alarm code 7"]
    got = TorchEncoder(tmp_path / "model", config.contract, config.runtime).encode_passages(
        texts, SilentProgress()
    )
    library = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(library.encode_document(texts), got, atol=1e-6)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "resumed", config, Interrupt(4))
    train(world, tmp_path / "resumed", config)
    for whole, resumed in zip(tuned, dense_weights(tmp_path / "resumed"), strict=True):
        np.testing.assert_allclose(resumed, whole, atol=1e-6)


def test_in_bf16_they_are_trained_saved_in_the_format_of_the_base_and_give_unit_vectors(tmp_path):
    def half(path):
        model = load_model(make_base(path), tiny_contract(path), RuntimeSettings(device="cpu"))
        save_model(model, "bf16", path)
        return path

    world = make_world(tmp_path / "world", make_base=half, precision="bf16")
    config = tiny_config(world, precision="bf16", epochs=1)
    train(world, tmp_path / "model", config)
    for folder in (".", "2_Dense", "3_Dense"):
        tensors = load_torch_file(tmp_path / "model" / folder / "model.safetensors").values()
        assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    vectors = TorchEncoder(tmp_path / "model", config.contract, config.runtime).encode_passages(
        ["the kiln", "alarm code 7"], SilentProgress()
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
