"""The format of the saved weights: the base's, unless another is configured; the saved weights are measured."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.encoders.weights import INDEX, weights_sha256
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.progress import SilentProgress
from embedtune.train.dev import DevSet
from embedtune.train.model import save_model
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, stored_in, tiny_contract
from tests.support.training_world import make_world, record_of, tiny_config, train


def in_bf16(path: Path) -> Path:
    return stored_in(make_tiny_llama(path), "bfloat16")


@pytest.fixture(scope="module")
def bf16_world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("bf16"), make_base=in_bf16, dimensions=(32, 16), precision="bf16")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("fp32"))


def dtypes(model: Path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(model / "model.safetensors").values()}


@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["all weights", "lora"])
def test_a_bf16_base_gives_a_bf16_model_that_was_measured_as_saved(bf16_world, tmp_path, lora):
    config = tiny_config(bf16_world, precision="bf16", dimensions=(32, 16), epochs=1, lora=lora)
    report = train(bf16_world, tmp_path / "model", config)
    assert dtypes(tmp_path / "model") == {torch.bfloat16}
    assert json.loads((tmp_path / "model/config.json").read_text())["dtype"] == "bfloat16"
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (bf16_world.base, tmp_path / "model")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    record = record_of(tmp_path / "model")
    assert (record.precision, record.attention, record.weights) == ("bf16", "auto", "bf16")
    assert (report.metrics["precision"], report.metrics["weights"]) == ("bf16", "bf16")
    encoder = TorchEncoder(tmp_path / "model", config.contract, config.runtime)
    again = DevSet(bf16_world.dataset, config.contract, config.runtime).measure(encoder, SilentProgress())
    assert {row.dimension: row.tuned for row in record.matryoshka} == again
    assert record.best.ndcg_at_10 == again[32]
    card = (tmp_path / "model/README.md").read_text()
    assert "| arithmetic | bf16," in card
    assert "| format of the weights | bf16 |" in card


def test_bf16_trains_float32_weights_which_a_float32_base_keeps(tmp_path):
    world = make_world(tmp_path / "world", precision="bf16")
    config = tiny_config(world, precision="bf16", gradient_checkpointing="on", epochs=1)
    train(world, tmp_path / "model", config)
    assert dtypes(tmp_path / "model") == {torch.float32}
    # Updates of 1e-5 vanish in bf16 weights: these are no multiples of what bf16 can hold.
    tensors = load_file(tmp_path / "model/model.safetensors").values()
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in tensors)


def test_another_format_can_be_configured(world, tmp_path):
    train(world, tmp_path / "model", tiny_config(world, save_dtype="fp16", epochs=1))
    assert dtypes(tmp_path / "model") == {torch.float16}
    assert record_of(tmp_path / "model").weights == "fp16"


def test_a_change_of_the_score_by_rounding_is_said(world, tmp_path, monkeypatch):
    from embedtune.train import dev

    grades = iter([0.1, 0.2])  # base; the saved weights
    monkeypatch.setattr(dev.DevSet, "measure", lambda *_: {32: next(grades)})
    monkeypatch.setattr(dev.DevSet, "_among_pool", lambda *_: {"q": 0.3})  # step 3
    report = train(world, tmp_path / "model", tiny_config(world, save_dtype="bf16", epochs=1))
    assert report.notes == (
        "saved in bf16 the weights have nDCG@10 0.2000 on dev, -0.1000 compared with training: "
        "see train.save_dtype",
    )
    assert report.metrics["dev_ndcg@10"] == 0.2


def test_a_weight_that_the_format_cannot_hold_is_refused(tmp_path):
    base = make_tiny_model(tmp_path / "base")
    model = load_model(base, tiny_contract(base), RuntimeSettings(device="cpu"))
    with torch.no_grad():
        next(model.parameters())[0, 0] = 1e5
    with pytest.raises(GateError, match=r"(?s)too large.*1e\+05 in fp16.*train\.save_dtype=bf16"):
        save_model(model, "fp16", tmp_path / "saved")


def test_negatives_mined_in_another_precision_are_refused(world, tmp_path):
    config = tiny_config(world, precision="bf16")
    world = make_world(tmp_path / "world")  # its triplets were mined in fp32
    with pytest.raises(
        ConfigError, match=r"(?s)triplets and train have different precisions.*runtime\.precision="
    ):
        train(world, tmp_path / "model", config)


def test_weights_in_several_files_are_trained_and_have_one_hash(tmp_path):
    base = in_bf16(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, members in parts.items():
        save_file({name: tensors[name] for name in members}, base / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, members in parts.items() for name in members}}
    (base / INDEX).write_text(json.dumps(index))
    (base / "model.safetensors").unlink()
    assert len(weights_sha256(base)) == 64
    world = make_world(tmp_path / "world", make_base=lambda _: base)
    train(world, tmp_path / "model", tiny_config(world, epochs=1))
    assert dtypes(tmp_path / "model") == {torch.bfloat16}
