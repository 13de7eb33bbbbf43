"""The engine directory: graph, tokenizer and contract, complete enough to be served."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.contract import EncoderContract
from embedtune.core.encoders import load_model
from embedtune.core.errors import ContractError
from embedtune.core.onnx_encoder import MODEL_FILE, TOKENIZER_FILE
from embedtune.core.settings import RuntimeSettings
from embedtune.core.settings_export import ExportSettings
from embedtune.export.encoder import encoder_graph
from embedtune.export.onnx_file import write_onnx

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def export_engine(model: Path, contract: EncoderContract, output: Path, settings: ExportSettings) -> None:
    """Write model.onnx (fp32), tokenizer.json, embedtune.json and engine.json into a directory.

    Args:
        model: A directory with safetensors weights.
        contract: How its vectors are made.
        output: An existing directory.
        settings: Opset, and the size above which weights stand in a file of their own.

    Raises:
        ContractError: The model cannot read texts as long as the contract says, or its tokenizer is not portable.
    """
    loaded = load_model(model, contract, RuntimeSettings(device="cpu"))
    write_tokenizer(loaded, contract, output)
    contract.save(output)
    graph = encoder_graph(loaded, contract.pooling)
    write_onnx(graph, output / MODEL_FILE, settings.opset, contract.max_length, settings.external_data_mb)
    write_record(output, settings, contract.dimensions[0])


def write_tokenizer(model: "SentenceTransformer", contract: EncoderContract, output: Path) -> None:
    """Write tokenizer.json, which cuts and pads by itself as the trained model's did.

    Raises:
        ContractError: The model reads fewer tokens than the contract says, or has no fast tokenizer.
    """
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ContractError(
            "the model's tokenizer cannot be served",
            got=type(tokenizer).__name__,
            expected="a fast tokenizer, one that has a tokenizer.json",
            fix="convert it with transformers.AutoTokenizer.from_pretrained(…, use_fast=True)",
        )
    if (model.max_seq_length or contract.max_length) < contract.max_length:
        raise ContractError(
            "the model reads fewer tokens than the contract says",
            got=model.max_seq_length,
            expected=f"contract.max_length={contract.max_length}",
            fix=f"set contract.max_length={model.max_seq_length} and run all stages again",
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
        "hidden": hidden,
    }
    (output / "engine.json").write_text(json.dumps(record | more, indent=1) + "\n", encoding="utf-8")
