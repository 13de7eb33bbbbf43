"""Tests that need a GPU: vectors and neighbours as on the CPU, training in bf16, resuming from checkpoints."""

from pathlib import Path

import numpy as np
import pytest

from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.precision import compute_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.exact_search import top_k
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, tiny_contract
from tests.support.training_world import Interrupt, make_world, record_of, tiny_config, train, weights

pytestmark = pytest.mark.gpu
TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum", "oil " * 40]


@pytest.fixture(autouse=True)
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")


def on_gpu(config: Config, *, precision: str = "fp32", **train: object) -> Config:
    values = config.model_dump() | {"runtime": {"device": "cuda", "precision": precision}}
    return parse_config(values | {"train": values["train"] | train})


@pytest.mark.parametrize("make", [make_tiny_model, make_tiny_llama])
def test_vectors_equal_those_of_the_cpu(tmp_path: Path, make) -> None:
    contract = tiny_contract(make(tmp_path / "base"))
    cpu, cuda = (
        TorchEncoder(
            tmp_path / "base", contract, RuntimeSettings(device=device, precision="fp32")
        ).encode_passages(TEXTS, SilentProgress())
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(cuda, cpu, atol=1e-4)


@pytest.mark.parametrize("make", [make_tiny_model, make_tiny_llama])
def test_vectors_in_bf16_are_near_those_in_float32(tmp_path: Path, make) -> None:
    contract = tiny_contract(make(tmp_path / "base"))
    full, half = (
        TorchEncoder(tmp_path / "base", contract, RuntimeSettings(device="cuda", precision=precision))
        for precision in ("fp32", "bf16")
    )
    vectors = [encoder.encode_passages(TEXTS, SilentProgress()) for encoder in (full, half)]
    assert np.einsum("nd,nd->n", *vectors).min() > 0.999
    assert not np.array_equal(*vectors)
    assert full.fingerprint != half.fingerprint


def test_auto_is_bf16_where_the_gpu_has_it() -> None:
    import torch

    able = torch.cuda.is_bf16_supported(including_emulation=False)
    assert compute_of(RuntimeSettings(device="cuda")) == ("bf16" if able else "fp32")


def test_flash_attention_gives_the_same_vectors(tmp_path: Path) -> None:
    pytest.importorskip("flash_attn", reason="the package flash-attn is not installed")
    contract = tiny_contract(make_tiny_llama(tmp_path / "base"))
    runtime = RuntimeSettings(device="cuda", precision="bf16")
    sdpa, flash = (
        TorchEncoder(tmp_path / "base", contract, runtime.model_copy(update={"attention": attention}))
        for attention in ("sdpa", "flash_attention_2")
    )
    vectors = [encoder.encode_passages(TEXTS, SilentProgress()) for encoder in (sdpa, flash)]
    assert np.einsum("nd,nd->n", *vectors).min() > 0.999


def test_neighbours_equal_those_of_the_cpu() -> None:
    import faiss

    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS is built for the CPU: install faiss-gpu-cu12 instead of faiss-cpu")
    random = np.random.default_rng(0)
    queries, passages = (random.standard_normal((n, 64), dtype=np.float32) for n in (50, 20_000))
    expected_scores, expected = top_k(queries, passages, 100, device="cpu")
    scores, found = top_k(queries, passages, 100, device="cuda")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_training_in_bf16_with_gradient_checkpointing_learns_and_writes_float32(tmp_path: Path) -> None:
    import torch

    world = make_world(tmp_path / "world", precision="bf16")
    config = on_gpu(
        tiny_config(world, epochs=6, learning_rate=5e-3), precision="bf16", gradient_checkpointing="on"
    )
    train(world, tmp_path / "model", config)
    record = record_of(tmp_path / "model")
    assert record.device == torch.cuda.get_device_name()
    loss = [step.loss for step in record.steps]
    assert np.mean(loss[-3:]) < 0.7 * np.mean(loss[:3])
    assert {array.dtype for array in weights(tmp_path / "model").values()} == {np.dtype(np.float32)}


def test_an_interrupted_run_continues_to_the_same_curve(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    config = on_gpu(tiny_config(world))
    train(world, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config, Interrupt(4))
    train(world, tmp_path / "cut", config)
    whole, again = ([step.loss for step in record_of(tmp_path / name).steps] for name in ("whole", "cut"))
    assert again == pytest.approx(whole, 1e-3)
