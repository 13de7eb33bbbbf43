"""Precision: the arithmetic that PyTorch models compute in, and the number format that weights are stored in.

Models are loaded with float32 weights, whatever format these are stored in, which loses nothing. bf16 then means
autocast, in training (transformers' `bf16=True`, since an update of 1e-5 vanishes in a bf16 weight) and in
encoding: matrix products are bf16, sums over many numbers are float32. So a checkpoint is chosen in the arithmetic
that it is evaluated in, and vectors are closer to float32's than with weights in bf16 (docs/experiments.md).
"""

import json
import math
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.weights import opened_weights, weight_files
from embedtune.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

Compute = Literal["fp32", "bf16"]
Dtype = Literal["fp32", "bf16", "fp16"]
TORCH_NAMES: dict[Dtype, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# Number formats of safetensors headers that are not integers or booleans; the last ones only as "something else".
STORED: dict[str, Dtype | None] = {"F32": "fp32", "BF16": "bf16", "F16": "fp16", "F64": None}


def device_of(runtime: RuntimeSettings) -> str:
    """Return the device to use: "cuda" or "cpu"."""
    import torch

    if runtime.device != "auto":
        return runtime.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_of(runtime: RuntimeSettings) -> Compute:
    """Return the arithmetic that `runtime.precision` means on this machine.

    `auto` is bf16 on a GPU that computes it natively. On a CPU it is fp32, even if the CPU has bf16 instructions
    (docs/experiments.md, "Precision").
    """
    if runtime.precision != "auto":
        return runtime.precision
    if runtime.device == "cpu" or device_of(runtime) == "cpu":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def has_bf16(device: str) -> bool:
    """Return whether a device computes bf16 in hardware; elsewhere it is emulated and slower than float32."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(bool(able.get(name)) for name in ("amx_bf16", "avx512_bf16", "bf16"))  # the last one is Arm's


def int8_saturates() -> bool:
    """Return whether ONNX Runtime's 8-bit products saturate on this CPU: x86 without VNNI adds pairs in 16 bits.

    Source: ONNX Runtime's documentation, "Quantize ONNX models", on U8S8.
    """
    import torch

    able = torch.cpu.get_capabilities()
    vnni = any(bool(able.get(name)) for name in ("avx_vnni", "avx512_vnni", "amx_int8"))
    return able.get("architecture") == "x86_64" and not vnni


def in_float32(runtime: RuntimeSettings) -> RuntimeSettings:
    """Return the same settings for float32, which flash attention cannot compute."""
    attention = "auto" if runtime.attention == "flash_attention_2" else runtime.attention
    return runtime.model_copy(update={"precision": "fp32", "attention": attention})


def same_everywhere(runtime: RuntimeSettings) -> RuntimeSettings:
    """Return the same settings with `auto` as fp32, for generate: its questions must not depend on the GPU.

    In bf16 other passages are neighbours, so the same run on another machine would pay for other questions, and
    would miss replies of a recording.
    """
    return in_float32(runtime) if runtime.precision == "auto" else runtime


def autocast(runtime: RuntimeSettings) -> AbstractContextManager[Any]:
    """Return a context in which float32 weights compute in the configured arithmetic."""
    import torch

    return torch.autocast(device_of(runtime), dtype=torch.bfloat16, enabled=compute_of(runtime) == "bf16")


def torch_dtype(name: Dtype) -> "torch.dtype":
    """Return PyTorch's object for a number format."""
    import torch

    dtype: torch.dtype = getattr(torch, TORCH_NAMES[name])
    return dtype


def no_such_attention(path: Path, runtime: RuntimeSettings, error: Exception) -> ConfigError:
    """Return the error for a model or machine without the configured attention."""
    return ConfigError(
        f"the model in {path} cannot be loaded with this attention",
        got=f"runtime.attention={runtime.attention}: {error}",
        expected="an implementation that the architecture, the device and the installed packages have",
        fix="set runtime.attention=auto",
    )


def stored_dtypes(path: Path) -> dict[Dtype | None, int]:
    """Return how many numbers of a model's weights are stored in each format; None: in another one.

    Only the headers of the files are read.

    Raises:
        InputError: The weights are missing, incomplete or damaged.
    """
    counts: Counter[Dtype | None] = Counter()
    for file in weight_files(path):
        with opened_weights(file) as tensors:
            parts = [tensors.get_slice(name) for name in tensors.keys()]  # noqa: SIM118 - not a dictionary
            for part in parts:
                name = str(part.get_dtype())
                if name in STORED or name.startswith("F"):
                    counts[STORED.get(name)] += math.prod(part.get_shape())
    return dict(counts)


def weights_dtype(path: Path) -> Dtype:
    """Return the format that most of a model's weights are stored in; fp32 if it is none that embedtune writes."""
    counts = stored_dtypes(path)
    most = max(counts, key=lambda name: (counts[name], name or ""), default=None)
    return most or "fp32"


def vector_marks(path: Path, runtime: RuntimeSettings) -> list[str]:
    """Return what tells this model's vectors from those of the same weights in another precision, for cache keys.

    float32 weights that compute in float32 have no marks, so vectors of earlier versions are found again. Those
    versions computed other weights in the format they are stored in.
    """
    compute = compute_of(runtime)
    marks = [] if compute == "fp32" and _says_float32(path) else [f"precision={compute}"]
    return marks if runtime.attention == "auto" else [*marks, f"attention={runtime.attention}"]


def _says_float32(path: Path) -> bool:
    file = path / "config.json"
    config = json.loads(file.read_bytes()) if file.is_file() else {}
    named = config.get("dtype") or config.get("torch_dtype") or "float32"
    return named == "float32" and set(stored_dtypes(path)) <= {"fp32"}
