"""int8 for TensorRT: what is rounded in the graph, by which scale, and how close the vectors stay."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from embedtune.core.encoders.onnx import INPUTS, OnnxEncoder, OnnxGraph, load_tokenizer
from embedtune.export.int8_tensorrt import BATCH, Passages, write_calibrated
from tests.export.conftest import RUNTIME, SIZES, exact_int8

TEXTS = [f"passage: check the {part} of the press" for part in ("valve", "oil", "pump", "seal", "pin", "belt")] * 2
HIDDEN = SIZES[0]


def calibrated(exported, path, texts=TEXTS, external_data_mb=100.0):
    passages = Passages(load_tokenizer(exported.engine), texts, HIDDEN)
    write_calibrated(exported.engine / "model.onnx", path, passages, HIDDEN, external_data_mb)
    return onnx.load(path)


@pytest.fixture(scope="module")
def bert_file(bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrated") / "int8.onnx"
    calibrated(bert, path)
    return path


@pytest.fixture(scope="module")
def llama_file(llama, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrated") / "int8.onnx"
    calibrated(llama, path)
    return path


@pytest.fixture(params=["bert", "llama"])
def both(request):
    """An exported model and its calibrated graph."""
    return request.getfixturevalue(request.param), request.getfixturevalue(f"{request.param}_file")


def weights_of(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def products_with_weights(model):
    """Return the products with weights, by the weight's name; it may be behind a pair of rounding operators."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    weights, found = weights_of(model), {}
    for node in model.graph.node:
        if node.op_type != "MatMul":
            continue
        name, rounded = node.input[1], False
        if (pair := made_by.get(name)) is not None and pair.op_type == "DequantizeLinear":
            name, rounded = made_by[pair.input[0]].input[0], True
        if name in weights:
            found[name] = (tuple(weights[name].dims), rounded, node)
    return found


def test_every_product_is_rounded_except_those_that_read_the_wide_part(both):
    shapes = products_with_weights(onnx.load(both[1])).values()
    assert {rounded for (width, _), rounded, _ in shapes if width <= HIDDEN} == {True}
    wide = [rounded for (width, _), rounded, _ in shapes if width > HIDDEN]
    assert wide == [False, False]  # one per layer


def test_only_products_with_weights_and_sums_that_share_their_input_are_rounded(both):
    model = onnx.load(both[1])
    products = {node.name for _, _, node in products_with_weights(model).values()}
    made_by = {output: node for node in model.graph.node for output in node.output}
    fed = {
        node.name: node.op_type
        for node in model.graph.node
        for name in node.input
        if name in made_by and made_by[name].op_type == "DequantizeLinear"
    }
    assert products & set(fed)
    assert {kind for name, kind in fed.items() if name not in products} <= {"Add"}


def test_a_scale_is_the_largest_magnitude_seen_divided_by_127(bert, bert_file):
    model = onnx.load(bert_file)
    made_by = {output: node for node in model.graph.node for output in node.output}
    node = next(node for _, rounded, node in products_with_weights(model).values() if rounded)
    pair = made_by[made_by[node.input[0]].input[0]]
    scale = numpy_helper.to_array(weights_of(model)[pair.input[1]])
    activation = pair.input[0]

    full = onnx.load(bert.engine / "model.onnx")
    full.graph.output.append(onnx.helper.make_empty_tensor_value_info(activation))
    session = onnxruntime.InferenceSession(full.SerializeToString(), providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer(bert.engine)
    seen = 0.0
    for start in range(0, len(TEXTS), BATCH):
        encodings = tokenizer.encode_batch_fast(TEXTS[start : start + BATCH])
        arrays = ([e.ids for e in encodings], [e.attention_mask for e in encodings], [HIDDEN] * len(encodings))
        feed = {name: np.array(value, dtype=np.int64) for name, value in zip(INPUTS, arrays, strict=True)}
        seen = max(seen, float(np.abs(session.run([activation], feed)[0]).max()))
    assert scale == pytest.approx(seen / 127, rel=1e-5)


def test_different_passages_give_different_scales(bert, bert_file, tmp_path):
    def scales(model):
        return sorted(
            float(numpy_helper.to_array(t))
            for t in model.graph.initializer
            if t.name.endswith("_scale") and not t.dims
        )

    here = scales(onnx.load(bert_file))
    there = scales(calibrated(bert, tmp_path / "b.onnx", ["passage: " + "drum 7 " * 20]))
    assert len(here) == len(there) > 0
    assert here != there


@exact_int8
def test_the_vectors_stay_close(both):
    exported, path = both
    small = OnnxEncoder(exported.engine, RUNTIME, OnnxGraph(path))
    sizes = [HIDDEN, 16, 8]
    got, full = small.encode_batch(TEXTS[:3], sizes), exported.onnx.encode_batch(TEXTS[:3], sizes)
    cosines = (got * full).sum(axis=1)
    assert cosines.min() >= 0.995
    assert np.abs(got - full).max() > 1e-4  # else nothing was rounded
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_weights_above_the_limit_are_in_a_separate_file(bert, tmp_path):
    calibrated(bert, tmp_path / "int8.onnx", external_data_mb=0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["int8.onnx", "int8.onnx.data"]
    OnnxGraph(tmp_path / "int8.onnx")
