"""The exported file: its inputs, its weights, and that ONNX Runtime returns PyTorch's vectors."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import load_contract
from embedtune.core.encoders.onnx import OnnxEncoder, OnnxGraph, load_tokenizer
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ConfigError, ContractError
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import ENGINE_FILE, Engine
from embedtune.export.engine import export_engine, write_tokenizer
from embedtune.export.int8_cpu import graph_files, write_int8
from tests.export.conftest import RUNTIME, exact_int8
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, tiny_contract

TEXTS = ["", "a", "check the valve of the press", "oil " * 100, "replace the worn pin when the kiln is cold"]


def truncate(vectors, size):
    return vectors[:, :size] / np.linalg.norm(vectors[:, :size], axis=1, keepdims=True)


@pytest.fixture(params=["bert", "llama"])
def exported(request):
    return request.getfixturevalue(request.param)


def test_inputs_and_output_are_named_and_dynamic(exported):
    graph = onnx.load(exported.engine / "model.onnx", load_external_data=False).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert shapes == {
        "input_ids": ["batch", "length"],
        "attention_mask": ["batch", "length"],
        "dimensions": ["batch"],
        "embeddings": ["batch", 32],
    }
    kinds = {value.type.tensor_type.elem_type for value in graph.input}
    assert kinds == {onnx.TensorProto.INT64}
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(("name", "opset"), [("bert", 20), ("llama", 18)])
def test_the_opset_is_the_configured_one(name, opset, request):
    engine = request.getfixturevalue(name).engine
    model = onnx.load(engine / "model.onnx", load_external_data=False)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    assert read_record(engine / ENGINE_FILE, Engine).opset == opset


def test_the_vectors_are_those_of_pytorch(exported, progress):
    for encode in ("encode_queries", "encode_passages"):
        got = getattr(exported.onnx, encode)(TEXTS, progress)
        np.testing.assert_allclose(got, getattr(exported.torch, encode)(TEXTS, progress), atol=2e-6)


def test_queries_and_passages_get_their_prefixes(exported, progress):
    encoder = exported.onnx
    direct = encoder.encode_batch(["query: check", "passage: check"], [32, 32])
    np.testing.assert_allclose(encoder.encode_queries(["check"], progress)[0], direct[0], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_passages(["check"], progress)[0], direct[1], atol=1e-6)
    assert not np.allclose(direct[0], direct[1], atol=1e-3)


def test_the_vectors_are_in_the_order_of_the_texts_whatever_their_length(exported, progress):
    texts = [" ".join(["valve"] * n) + f" {n}" for n in (30, 1, 9, 40, 2, 17, 5, 33, 3, 21)]
    together = exported.onnx.encode_passages(texts, progress)
    alone = np.concatenate([exported.onnx.encode_passages([text], progress) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_different_dimensions_in_one_batch_are_truncated_and_then_normalised(exported, progress):
    texts = ["stop the pump", "read the alarm code of the hoist and close the valve", "press", "oil"]
    sizes = [32, 8, 16, 1]
    full = exported.torch.encode_passages(texts, progress)
    got = exported.onnx.encode_batch([f"passage: {text}" for text in texts], sizes)
    assert np.isfinite(got).all()
    for row, vector, size in zip(got, full, sizes, strict=True):
        np.testing.assert_allclose(row[:size], truncate(vector[None], size)[0], atol=2e-6)
        assert not row[size:].any()
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_padding_does_not_change_a_vector(exported):
    ids = np.array([[5, 6, 7, 0, 0]])
    padded = OnnxGraph(exported.engine / "model.onnx")(ids, np.array([[1, 1, 1, 0, 0]]), np.array([32]))
    alone = OnnxGraph(exported.engine / "model.onnx")(ids[:, :3], np.ones((1, 3), np.int64), np.array([32]))
    np.testing.assert_allclose(padded, alone, atol=1e-6)


def test_a_llama_attends_in_both_directions(tmp_path):
    """With CLS pooling a later token reaches the vector only through attention that looks ahead."""
    base = make_tiny_llama(tmp_path / "base")
    contract = tiny_contract(base).model_copy(update={"pooling": "cls"})
    export_engine(base, contract, tmp_path, ExportSettings())
    first, second = OnnxEncoder(tmp_path, RUNTIME).encode_batch(["valve open", "valve shut"], [32, 32])
    assert not np.allclose(first, second, atol=1e-5)


def test_weights_above_the_limit_are_in_a_separate_file(bert, llama):
    assert [file.name for file in graph_files(bert.engine / "model.onnx")] == ["model.onnx"]
    graph, weights = graph_files(llama.engine / "model.onnx")
    assert weights.name == "model.onnx.data"
    parameters = sum(p.numel() * 4 for p in load_model(llama.base, llama.contract, RUNTIME).parameters())
    # Vectors of a few hundred bytes, as of layer norms, may stay in the graph.
    assert 0.99 * parameters <= weights.stat().st_size < 1.5 * parameters
    assert graph.stat().st_size + weights.stat().st_size >= parameters


def test_the_engine_contains_contract_and_record(llama):
    assert load_contract(llama.engine) == llama.contract
    assert read_record(llama.engine / ENGINE_FILE, Engine) == Engine(
        target="python-cpu",
        precision="fp32",
        opset=18,
        file="model.onnx",
        hidden=32,
        tensorrt_version=None,
        compute_capability=None,
        max_batch_size=None,
    )


def test_the_tokenizer_truncates_at_the_maximum_and_pads_to_the_longest_on_its_own(bert):
    long, short = load_tokenizer(bert.engine).encode_batch(["oil " * 100, "oil"])
    assert len(long.ids) == len(short.ids) == 64
    assert sum(short.attention_mask) == 3
    assert len(load_tokenizer(bert.engine).encode("oil").ids) == 3


def test_a_model_that_reads_shorter_texts_than_the_contract_allows_is_refused(tmp_path):
    base = make_tiny_model(tmp_path / "base")  # 256 positions
    contract = tiny_contract(base).model_copy(update={"max_length": 300})
    with pytest.raises(ContractError, match=r"(?s)contract.max_length 300.*at most 256"):
        export_engine(base, contract, tmp_path, ExportSettings())


def test_a_slow_tokenizer_is_refused(tmp_path, bert):
    class Slow:
        pass

    class Model:
        tokenizer = Slow()

    with pytest.raises(ContractError, match=r"(?s)cannot be served.*Slow"):
        write_tokenizer(Model(), bert.contract, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_int8_weights_are_rounded_by_channel(name, request, tmp_path):
    exported = request.getfixturevalue(name)
    write_int8(exported.engine / "model.onnx", tmp_path / "model.onnx", 0 if name == "llama" else 100)
    assert len(graph_files(tmp_path / "model.onnx")) == (2 if name == "llama" else 1)
    model = onnx.load(tmp_path / "model.onnx")
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == (12 if name == "bert" else 14)  # every projection of two layers
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = [tensor for key, tensor in weights.items() if key.endswith("_scale")]
    assert scales and all(len(tensor.dims) == 1 and tensor.dims[0] > 1 for tensor in scales)


@exact_int8
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_int8_vectors_stay_close_and_pooling_stays_exact(name, request, tmp_path, progress):
    exported = request.getfixturevalue(name)
    write_int8(exported.engine / "model.onnx", tmp_path / "model.onnx", 100)
    encoder = OnnxEncoder(exported.engine, RUNTIME, OnnxGraph(tmp_path / "model.onnx"))
    got, full = (e.encode_passages(TEXTS, progress) for e in (encoder, exported.torch))
    cosines = (got * full).sum(axis=1)
    assert cosines.min() > 0.97
    assert cosines.min() < 0.99999  # else nothing was rounded
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_different_weights_and_contracts_have_different_fingerprints(bert, llama, tmp_path):
    assert bert.onnx.fingerprint == bert.onnx.fingerprint
    assert bert.onnx.fingerprint != llama.onnx.fingerprint


def test_a_gpu_is_refused_if_onnx_runtime_cannot_use_one(bert):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has a GPU")
    with pytest.raises(ConfigError, match="cannot use a GPU"):
        OnnxEncoder(bert.engine, RuntimeSettings(device="cuda"))


def test_the_encoder_needs_neither_torch_nor_transformers(bert):
    code = (
        "import sys; from pathlib import Path\n"
        "from embedtune.core.encoders.onnx import OnnxEncoder\n"
        "from embedtune.core.progress import SilentProgress\n"
        "from embedtune.core.config.config import RuntimeSettings\n"
        f"e = OnnxEncoder(Path({str(bert.engine)!r}), RuntimeSettings(device='cpu'))\n"
        "print(e.encode_queries(['oil'], SilentProgress()).shape)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'datasets', 'faiss'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["(1, 32)", "[]"]
