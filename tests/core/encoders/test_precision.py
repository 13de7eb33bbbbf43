"""Precision: what the setting means, that vectors of different precisions are never mixed, and what is stored."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.precision import (
    compute_of,
    has_bf16,
    in_float32,
    int8_saturates,
    same_everywhere,
    stored_dtypes,
    weights_dtype,
)
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.encoders.vector_cache import VectorCache
from embedtune.core.errors import ConfigError
from embedtune.core.progress import SilentProgress
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, stored_in, tiny_contract

TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum", "oil " * 40]
FP32, BF16 = (RuntimeSettings(device="cpu", precision=precision) for precision in ("fp32", "bf16"))


def vectors(base: Path, runtime: RuntimeSettings, cache: Path | None = None):
    return TorchEncoder(base, tiny_contract(base), runtime, cache).encode_passages(TEXTS, SilentProgress())


def test_auto_is_float32_on_a_cpu_whatever_the_cpu_has() -> None:
    assert compute_of(RuntimeSettings(device="cpu")) == "fp32"
    assert compute_of(BF16) == "bf16"
    assert isinstance(has_bf16("cpu"), bool)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_on_a_gpu_that_computes_it_natively(monkeypatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native)
    assert compute_of(RuntimeSettings(device="cuda")) == expected


def test_generate_asks_the_same_on_every_machine() -> None:
    assert same_everywhere(RuntimeSettings(device="cuda")).precision == "fp32"
    assert same_everywhere(BF16).precision == "bf16"


def test_flash_attention_is_refused_where_it_cannot_run() -> None:
    for settings in ({"precision": "fp32"}, {"device": "cpu"}):
        with pytest.raises(ValidationError, match="flash_attention_2 needs precision bf16"):
            RuntimeSettings(attention="flash_attention_2", **settings)
    flash = RuntimeSettings(attention="flash_attention_2", precision="bf16")
    assert in_float32(flash) == RuntimeSettings(precision="fp32")


@pytest.mark.parametrize("make", [make_tiny_model, make_tiny_llama])
def test_bf16_gives_nearly_the_same_unit_vectors(tmp_path: Path, make) -> None:
    """bf16 works on any CPU; without bf16 instructions it is only slow."""
    full, half = (vectors(make(tmp_path), runtime) for runtime in (FP32, BF16))
    assert np.einsum("nd,nd->n", full, half).min() > 0.999
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)


def test_vectors_of_different_precisions_are_never_mixed_in_the_cache(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    for runtime in (FP32, BF16, FP32):
        np.testing.assert_array_equal(vectors(base, runtime, tmp_path / "cache"), vectors(base, runtime))
    eager = FP32.model_copy(update={"attention": "eager"})
    auto = RuntimeSettings(device="cpu")
    prints = [
        TorchEncoder(base, tiny_contract(base), runtime).fingerprint for runtime in (FP32, BF16, eager, auto)
    ]
    assert len(set(prints[:3])) == 3
    assert prints[3] == prints[0]  # the same arithmetic, whether it was named or not
    assert len(VectorCache(tmp_path / "cache").get([])) == 0


def test_weights_stored_in_bf16_do_not_find_vectors_that_older_versions_computed_in_bf16(tmp_path: Path) -> None:
    """Older versions computed in the format of the weights; only float32 has remained what it was."""
    base = make_tiny_model(tmp_path / "base")
    contract = tiny_contract(base)
    unmarked = TorchEncoder(base, contract, FP32).fingerprint
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    assert TorchEncoder(base, contract, FP32).fingerprint != unmarked


def test_weights_are_loaded_as_float32_without_loss(tmp_path: Path) -> None:
    base = stored_in(make_tiny_model(tmp_path / "base"), "bfloat16")
    model = load_model(base, tiny_contract(base), BF16)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    stored = load_file(base / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(model[0].auto_model.get_parameter(name), stored[name].float())


def test_the_format_of_weights_is_that_of_most_numbers(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    assert weights_dtype(base) == "fp32"
    assert weights_dtype(stored_in(base, "bfloat16")) == "bf16"
    tensors = {
        "a": torch.zeros(3, 2, dtype=torch.float16),
        "b": torch.zeros(5),
        "ids": torch.zeros(9, dtype=torch.int64),
    }
    save_file(tensors, base / "model.safetensors")
    assert stored_dtypes(base) == {"fp16": 6, "fp32": 5}
    assert weights_dtype(base) == "fp16"
    save_file({"a": torch.zeros(3, dtype=torch.float64)}, base / "model.safetensors")
    assert (stored_dtypes(base), weights_dtype(base)) == ({None: 3}, "fp32")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_configured_one(tmp_path: Path, attention: str) -> None:
    base = make_tiny_model(tmp_path / "base")
    runtime = RuntimeSettings(device="cpu", attention=attention)
    model = load_model(base, tiny_contract(base), runtime)
    assert model[0].auto_model.config._attn_implementation == attention
    np.testing.assert_allclose(vectors(base, runtime), vectors(base, FP32), atol=1e-5)


def test_attention_that_cannot_be_had_names_the_setting(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    runtime = FP32.model_copy(update={"attention": "flash_attention_2"})
    with pytest.raises(ConfigError, match=r"(?s)runtime\.attention=flash_attention_2.*runtime\.attention=auto"):
        load_model(base, tiny_contract(base), runtime)


@pytest.mark.parametrize(
    ("able", "saturates"),
    [
        ({"architecture": "x86_64", "avx2": True}, True),
        ({"architecture": "x86_64", "avx_vnni": True}, False),
        ({"architecture": "x86_64", "avx512_vnni": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_8_bit_products_saturate_on_x86_without_vnni(monkeypatch, able, saturates):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    assert int8_saturates() is saturates
