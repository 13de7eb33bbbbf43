"""Whether the base model's architecture can be exported: export comes last, after the training is paid for."""

from collections.abc import Iterator

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.modules import read_json
from embedtune.core.errors import EmbedtuneError
from embedtune.local.preflight.finding import Finding, IntendedRun

# `model_type`s that have been through export, with vectors like PyTorch's. Others are tried, which takes a minute.
_KNOWN = """
albert bert deberta-v2 distilbert electra eurobert gemma2 gemma3_text llama ministral3 mistral modernbert mpnet mt5
nomic_bert qwen2 qwen3 t5 xlm-roberta
"""
KNOWN = frozenset(_KNOWN.split())


def check_export(run: IntendedRun) -> Iterator[Finding]:
    """Export a base model whose architecture is not known to work, and throw the result away.

    Raises:
        ContractError: It cannot be exported.
    """
    path, contract = run.base, run.config.contract
    if isinstance(path, EmbedtuneError):  # the check of the base model says so
        return
    kind = read_json(path / "config.json").get("model_type")
    if kind in KNOWN and not contract.trust_remote_code:
        yield Finding("fine", "export", f"architecture {kind}")
        return
    # Imported here, so that other checks do not wait for torch.
    from embedtune.core.encoders.pytorch import load_model
    from embedtune.export.encoder import encoder_graph
    from embedtune.export.onnx_file import onnx_program

    graph = encoder_graph(load_model(path, contract, RuntimeSettings(device="cpu")), contract.pooling)
    onnx_program(graph, run.config.export.opset, contract.max_length)
    yield Finding("fine", "export", f"architecture {kind}, exported as a test")
