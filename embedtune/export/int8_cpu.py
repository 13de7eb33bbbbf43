"""Dynamic int8 for CPUs: weights are rounded once, by output channel; activations are rounded at run time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_int8(source: Path, target: Path, external_data_mb: float) -> None:
    """Write the int8 variant of an fp32 ONNX file.

    Pooling and normalisation have no weights and stay in fp32.

    Args:
        source: The fp32 graph.
        target: The file to write; weights larger than `external_data_mb` go into a file next to it.
        external_data_mb: The limit, for the size of the fp32 weights.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with without_advice():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=megabytes(source) > external_data_mb,
        )


@contextmanager
def without_advice() -> Iterator[None]:
    """Silence ONNX Runtime's advice to preprocess the graph before quantisation, which changes nothing here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def megabytes(path: Path) -> float:
    """Return the size of an ONNX file and its weights."""
    return sum(file.stat().st_size for file in graph_files(path)) / 1e6


def graph_files(path: Path) -> list[Path]:
    """Return an ONNX file and, if its weights are outside it, their file."""
    return [file for file in (path, path.with_name(f"{path.name}.data")) if file.is_file()]
