"""int8 for TensorRT: ranges of the activations, measured on the user's own passages, become scales in the graph.

TensorRT reads such a graph as it is (explicit quantisation), and ONNX Runtime can run it, so it is tested on CPUs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedtune.core.encoders.onnx import INPUTS, Integers, token_arrays
from embedtune.core.errors import EmbedtuneError
from embedtune.export.int8_cpu import megabytes, without_advice

BATCH = 8
# Required by TensorRT: symmetric, weights by output channel, a dedicated pair of operators for each tensor.
TENSORRT = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "DedicatedQDQPair": True,
    "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
    "OpTypesToExcludeOutputQuantization": ["MatMul"],  # results of products are passed on unrounded
}


class Passages:
    """Passes texts to ONNX Runtime's calibration, batch by batch.

    Args:
        tokenizer: The engine's tokenizer.
        texts: Passages with their prefix.
        dimension: The full dimension.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str], dimension: int) -> None:
        self._batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
        self._tokenizer = tokenizer
        self._dimension = dimension

    def get_next(self) -> dict[str, Integers] | None:
        """Return the inputs of the next batch; None after the last."""
        if (batch := next(self._batches, None)) is None:
            return None
        dimensions = np.full(len(batch), self._dimension, dtype=np.int64)
        return dict(zip(INPUTS, (*token_arrays(self._tokenizer, batch), dimensions), strict=True))


def write_calibrated(source: Path, target: Path, passages: Passages, hidden: int, external_data_mb: float) -> None:
    """Write the int8 variant of an fp32 ONNX file with fixed scales.

    A scale is the largest magnitude seen, divided by 127. The products that read the wide part of a feed-forward
    layer stay in fp32: a few of their inputs are so much larger than the others that those would lose nearly all
    resolution (all-MiniLM-L6-v2: lowest cosine 0.981 this way, 0.962 with all products rounded). Where a residual
    connection shares a rounded input, it uses the rounded one.

    Args:
        source: The fp32 graph.
        target: The file to write; weights larger than `external_data_mb` go into a file next to it.
        passages: The texts to measure the ranges on.
        hidden: Width of the model; wider inputs belong to feed-forward layers.
        external_data_mb: The limit, for the size of the fp32 weights.

    Raises:
        EmbedtuneError: The graph has no product with weights.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    rounded = _rounded(source, hidden)
    if not rounded:  # ONNX Runtime would treat an empty list as all products
        raise EmbedtuneError("the graph has no matrix product that can be quantised to int8", got=str(source))
    with without_advice():
        quantize_static(
            source,
            target,
            passages,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=rounded,
            calibrate_method=CalibrationMethod.MinMax,
            use_external_data_format=megabytes(source) > external_data_mb,
            extra_options=TENSORRT,
        )


def _rounded(graph: Path, hidden: int) -> list[str]:
    """Return the products with weights whose input is not wider than the model; not those inside attention."""
    import onnx

    parts = onnx.load(graph, load_external_data=False).graph
    width = {tensor.name: tensor.dims[0] for tensor in parts.initializer if len(tensor.dims) == 2}
    return [
        node.name
        for node in parts.node
        if node.op_type == "MatMul" and width.get(node.input[1], hidden + 1) <= hidden
    ]
