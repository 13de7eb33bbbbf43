"""The engine directory: graph, tokenizer and contract, complete enough to be served."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.onnx import MODEL_FILE, TOKENIZER_FILE, load_tokenizer
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ContractError
from embedtune.core.records.base import write_record
from embedtune.core.records.engine import ENGINE_FILE, Engine
from embedtune.export.encoder import encoder_graph
from embedtune.export.half import HALF, halve
from embedtune.export.int8_tensorrt import Passages, write_calibrated
from embedtune.export.onnx_file import write_onnx
from embedtune.export.tensorrt import PLAN_FILE, BuiltPlan, Profile, build_plan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def export_engine(
    model: Path,
    contract: EncoderContract,
    output: Path,
    settings: ExportSettings,
    passages: Sequence[str] = (),
) -> None:
    """Write graph, tokenizer.json, embedtune.json and engine.json into a directory.

    An ONNX engine is written in fp16 if that is configured, otherwise in fp32, from which `write_int8` makes the
    int8 variant. A TensorRT engine is built in the configured precision.

    Args:
        model: A directory with safetensors weights.
        contract: How the model turns texts into vectors.
        output: An existing directory.
        settings: Target, precision, opset, and the size above which weights are written to a separate file.
        passages: Calibration texts of int8 for TensorRT, without prefix.

    Raises:
        ContractError: The model reads shorter texts than the contract allows, or its tokenizer is not portable.
        EmbedtuneError: TensorRT cannot build the engine.
    """
    loaded = load_model(model, contract, RuntimeSettings(device="cpu"))
    write_tokenizer(loaded, contract, output)
    contract.save(output)
    graph = encoder_graph(loaded, contract.pooling)
    if settings.precision in HALF:
        halve(graph.body, settings.precision)
    limits = (settings.opset, contract.max_length, settings.external_data_mb)
    if settings.target != "tensorrt":
        write_onnx(graph, output / MODEL_FILE, *limits)
        write_record(output / ENGINE_FILE, _onnx_engine(settings, contract))
        return
    profile = Profile(settings.tensorrt_batch, contract.max_length)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        file = Path(folder) / MODEL_FILE
        write_onnx(graph, file, *limits)
        if settings.precision == "int8":
            texts = [contract.passage_prefix + passage for passage in passages]
            read = Passages(load_tokenizer(output), texts, contract.dimensions[0])
            file = file.with_name(f"int8-{MODEL_FILE}")
            write_calibrated(
                Path(folder) / MODEL_FILE, file, read, contract.dimensions[0], settings.external_data_mb
            )
        built = build_plan(file, output / PLAN_FILE, profile)
    write_record(output / ENGINE_FILE, _tensorrt_engine(settings, contract, built))


def write_tokenizer(model: "SentenceTransformer", contract: EncoderContract, output: Path) -> None:
    """Write tokenizer.json, which truncates and pads by itself, as the trained model's tokenizer did.

    Raises:
        ContractError: The model has no fast tokenizer.
    """
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ContractError(
            "the model's tokenizer cannot be served",
            got=type(tokenizer).__name__,
            expected="a fast tokenizer, which has a tokenizer.json",
            fix="load it with transformers.AutoTokenizer and save it again, which writes tokenizer.json",
        )
    backend.enable_truncation(contract.max_length)
    pad = tokenizer.pad_token or tokenizer.eos_token
    backend.enable_padding(pad_id=tokenizer.convert_tokens_to_ids(pad), pad_token=pad)
    backend.save(str(output / TOKENIZER_FILE))


def _onnx_engine(settings: ExportSettings, contract: EncoderContract) -> Engine:
    return Engine(
        target=settings.target,
        precision=settings.precision,
        opset=settings.opset,
        file=MODEL_FILE,
        hidden=contract.dimensions[0],
    )


def _tensorrt_engine(settings: ExportSettings, contract: EncoderContract, built: BuiltPlan) -> Engine:
    return Engine(
        target=settings.target,
        precision=settings.precision,
        opset=settings.opset,
        file=PLAN_FILE,
        hidden=contract.dimensions[0],
        tensorrt_version=built.tensorrt_version,
        compute_capability=built.compute_capability,
        max_batch_size=built.max_batch_size,
    )
