"""The engine directory: graph, tokenizer and contract, complete enough to be served."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.onnx import MODEL_FILE, TOKENIZER_FILE, load_tokenizer
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ContractError
from embedtune.export.calibrate import Passages, write_calibrated
from embedtune.export.encoder import encoder_graph
from embedtune.export.half import halve
from embedtune.export.onnx_file import write_onnx
from embedtune.export.tensorrt import PLAN_FILE, Profile, build_plan

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

    An ONNX engine is written in fp32; `write_int8` makes the other variant from it. A TensorRT engine is built in
    its own precision.

    Args:
        model: A directory with safetensors weights.
        contract: How its vectors are made.
        output: An existing directory.
        settings: Target, precision, opset, and the size above which weights stand in a file of their own.
        passages: Without prefix; int8 for TensorRT is calibrated on them.

    Raises:
        ContractError: The model cannot read texts as long as the contract says, or its tokenizer is not portable.
        EmbedtuneError: TensorRT cannot build the engine.
    """
    loaded = load_model(model, contract, RuntimeSettings(device="cpu"))
    write_tokenizer(loaded, contract, output)
    contract.save(output)
    graph = encoder_graph(loaded, contract.pooling)
    limits = (settings.opset, contract.max_length, settings.external_data_mb)
    if settings.target != "tensorrt":
        write_onnx(graph, output / MODEL_FILE, *limits)
        write_record(output, settings, contract.dimensions[0])
        return
    if settings.precision == "fp16":
        halve(graph.body)
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
        more = build_plan(file, output / PLAN_FILE, profile)
    write_record(output, settings, contract.dimensions[0], **more)


def write_tokenizer(model: "SentenceTransformer", contract: EncoderContract, output: Path) -> None:
    """Write tokenizer.json, which cuts and pads by itself as the trained model's did.

    Raises:
        ContractError: The model has no fast tokenizer.
    """
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ContractError(
            "the model's tokenizer cannot be served",
            got=type(tokenizer).__name__,
            expected="a fast tokenizer, one that has a tokenizer.json",
            fix="load it with transformers.AutoTokenizer and save it again: that writes tokenizer.json",
        )
    backend.enable_truncation(contract.max_length)
    pad = tokenizer.pad_token or tokenizer.eos_token
    backend.enable_padding(pad_id=tokenizer.convert_tokens_to_ids(pad), pad_token=pad)
    backend.save(str(output / TOKENIZER_FILE))


def write_record(output: Path, settings: ExportSettings, hidden: int, **more: Any) -> None:
    """Write engine.json.

    Args:
        output: The engine directory.
        settings: Target, precision and opset.
        hidden: The full dimension.
        more: Values that differ from those of an ONNX engine.
    """
    record = {
        "target": settings.target,
        "precision": settings.precision,
        "opset": settings.opset,
        "file": MODEL_FILE,
        "tensorrt_version": None,
        "compute_capability": None,
        "max_batch_size": None,
        "hidden": hidden,
    }
    (output / "engine.json").write_text(json.dumps(record | more, indent=1) + "\n", encoding="utf-8")
