"""The encoder as an ONNX file: dynamic batch and length, large weights in a file next to it."""

import logging
import warnings
from pathlib import Path

import torch

from embedtune.core.encoders.onnx import INPUTS, OUTPUT
from embedtune.core.errors import ContractError
from embedtune.export.encoder import EncoderGraph

log = logging.getLogger(__name__)


def write_onnx(graph: EncoderGraph, path: Path, opset: int, max_length: int, external_data_mb: float) -> None:
    """Write `path`, and `path`.data when the weights are larger than `external_data_mb`.

    Args:
        graph: The encoder.
        path: The file to write.
        opset: ONNX operator set.
        max_length: Longest input, in tokens.
        external_data_mb: The limit; an ONNX file itself cannot contain more than 2 GB.

    Raises:
        ContractError: PyTorch cannot export the transformer.
    """
    program = onnx_program(graph, opset, max_length)
    megabytes = sum(weight.numel() * weight.element_size() for weight in graph.parameters()) / 1e6
    program.save(str(path), external_data=megabytes > external_data_mb)
    log.info("export: %s, opset %d, %.1f MB of weights", path.name, opset, megabytes)


def onnx_program(graph: EncoderGraph, opset: int, max_length: int) -> torch.onnx.ONNXProgram:
    """Return the encoder as an ONNX program in memory.

    Raises:
        ContractError: PyTorch cannot export the transformer.
    """
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=max_length)
    rows, width = 2, min(7, max_length)  # neither is 0 or 1: torch would treat those as constants
    example = (
        torch.ones((rows, width), dtype=torch.int64),
        torch.ones((rows, width), dtype=torch.int64),
        torch.ones(rows, dtype=torch.int64),
    )
    # The exporter warns about its own internals and about torchvision being absent.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                graph,
                example,
                dynamo=True,
                verbose=False,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                opset_version=opset,
                dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}, {0: batch}),
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ContractError(
                "PyTorch cannot export this model to ONNX, which serving needs",
                got=f"a {type(graph.body).__name__}: {_cause(error)}",
                expected="a transformer without operations that depend on the values of its input",
                fix="use another base model; the tuned model itself can be used with sentence-transformers",
            ) from error
    assert program is not None  # noqa: S101 - dynamo=True returns a program
    return program


def _cause(error: Exception) -> str:
    """Return the first line of what is behind an error of the exporter, whose own message is a page of advice."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
