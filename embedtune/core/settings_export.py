"""Settings of the export stage."""

from typing import Literal

from pydantic import Field

from embedtune.core.section import Section, Share

Target = Literal["python-cpu", "onnxruntime", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8", "fp8"]


class ExportSettings(Section):
    """The encoder as one graph, and the proof that it gives the same vectors."""

    target: Target = Field(
        default="python-cpu",
        description="What runs the encoder: python-cpu (ONNX Runtime inside Triton's Python backend), "
        "onnxruntime (Triton's own backend) or tensorrt.",
    )
    precision: Precision = Field(
        default="fp32", description="fp32 or int8 for ONNX Runtime; fp16, int8 or fp8 for TensorRT."
    )
    opset: int = Field(default=18, ge=17, le=23, description="ONNX operator set.")
    external_data_mb: float = Field(
        default=1800.0, ge=0, description="Weights above this size stand in a file of their own (ONNX: 2 GB)."
    )
    parity_texts: int = Field(default=256, ge=16, description="Domain texts compared one by one.")
    min_cosine_fp32: Share = Field(default=0.9999, description="Per text, against PyTorch.")
    min_cosine_fp16: Share = Field(default=0.999, description="Per text, against PyTorch.")
    min_cosine_quantized: Share = Field(default=0.97, description="Per text, int8 and fp8, against PyTorch.")
    max_ndcg_drift: Share = Field(default=0.005, description="Loss in nDCG@10 on dev, against PyTorch.")
