"""fp16 and bf16 in the graph: which weights are halved, and how close the vectors stay."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from embedtune.core.encoders.onnx import OnnxEncoder, OnnxGraph, load_tokenizer
from embedtune.core.encoders.pytorch import load_model
from embedtune.export.encoder import encoder_graph
from embedtune.export.half import HALF, FullNorm, halve
from embedtune.export.onnx_file import write_onnx
from tests.export.conftest import RUNTIME

TEXTS = ["passage: a", "passage: check the valve of the press", "passage: " + "oil " * 100]


@pytest.fixture(params=["bert", "llama"])
def exported(request):
    return request.getfixturevalue(request.param)


def half_graph(exported, precision="fp16"):
    graph = encoder_graph(load_model(exported.base, exported.contract, RUNTIME), exported.contract.pooling)
    return graph, halve(graph.body, precision)


@pytest.mark.parametrize("precision", HALF)
def test_all_norms_stay_in_single_precision(exported, precision):
    graph, norms = half_graph(exported, precision)
    # BERT: one for the embeddings and two per layer; Llama: two per layer and the final one.
    assert norms == 5
    inside = {id(p) for module in graph.modules() if isinstance(module, FullNorm) for p in module.parameters()}
    kinds = {(id(p) in inside, p.dtype) for p in graph.parameters()}
    assert kinds == {(True, torch.float32), (False, HALF[precision])}


@pytest.mark.parametrize(("precision", "half"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_the_graph_multiplies_in_half_and_norms_and_pools_in_single_precision(exported, tmp_path, precision, half):
    graph, _ = half_graph(exported, precision)
    write_onnx(graph, tmp_path / "model.onnx", 20, 64, 100)
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx"))
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kinds |= {value.name: value.type.tensor_type.elem_type for value in model.graph.output}

    def kinds_of(*operators):
        return {kinds[node.output[0]] for node in model.graph.node if node.op_type in operators}

    projections = {
        kinds[node.output[0]]
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and any(name in kinds and "val" not in name for name in node.input[1:])
    }
    assert projections <= {half}
    weights = {t.data_type for t in model.graph.initializer if len(t.dims) == 2 and min(t.dims) >= 16}
    assert weights == {half}
    assert kinds_of("LayerNormalization", "RMSNormalization") <= {TensorProto.FLOAT}
    assert kinds_of("ReduceSum", "ReduceMean", "Sqrt") <= {TensorProto.FLOAT}
    assert kinds["embeddings"] == TensorProto.FLOAT


def test_the_vectors_stay_within_the_limit_for_bf16(exported):
    """In PyTorch: ONNX Runtime has no matrix product in bf16 on CPUs, and TensorRT needs a GPU."""
    full = encoder_graph(load_model(exported.base, exported.contract, RUNTIME), exported.contract.pooling)
    graph, _ = half_graph(exported, "bf16")
    tokens = load_tokenizer(exported.engine).encode_batch(TEXTS)
    ids, mask = (torch.tensor([getattr(one, name) for one in tokens]) for name in ("ids", "attention_mask"))
    sizes = torch.tensor([32, 16, 8])
    with torch.no_grad():
        got, expected = graph(ids, mask, sizes), full(ids, mask, sizes)
    assert (got * expected).sum(dim=1).min() >= 0.999
    assert (got - expected).abs().max() > 1e-4  # else nothing was halved


def test_the_vectors_stay_within_the_limit_for_fp16(exported, tmp_path):
    graph, _ = half_graph(exported)
    write_onnx(graph, tmp_path / "model.onnx", 20, 64, 100)
    half = OnnxEncoder(exported.engine, RUNTIME, OnnxGraph(tmp_path / "model.onnx"))
    sizes = [32, 16, 8]
    got, full = half.encode_batch(TEXTS, sizes), exported.onnx.encode_batch(TEXTS, sizes)
    cosines = (got * full).sum(axis=1)
    assert cosines.min() >= 0.999
    assert np.abs(got - full).max() > 1e-6  # else nothing was halved
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
