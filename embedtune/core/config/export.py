"""Settings of the export stage."""

from typing import Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share

Target = Literal["python-cpu", "onnxruntime", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: dict[Target, tuple[Precision, ...]] = {
    "python-cpu": ("fp32", "int8"),
    "onnxruntime": ("fp32", "fp16", "int8"),
    "tensorrt": ("fp32", "fp16", "bf16", "int8"),
}


class ExportSettings(Section):
    """The encoder as one graph, and the proof that it returns the same vectors."""

    target: Target = Field(
        default="python-cpu",
        description="Runtime of the encoder: python-cpu (ONNX Runtime inside Triton's Python backend), "
        "onnxruntime (Triton's own backend) or tensorrt.",
    )
    precision: Precision = Field(
        default="fp32",
        description="fp32 or int8 for python-cpu (int8 is for CPUs with VNNI), also fp16 for onnxruntime (for "
        "GPUs), any for tensorrt (bf16 where fp16 overflows; from Ampere on).",
    )
    opset: int = Field(
        default=20,
        ge=18,
        le=23,
        description="ONNX operator set; from 20 on, GELU is a single operator, which is faster.",
    )
    external_data_mb: float = Field(
        default=1800.0, ge=0, le=1900.0, description="Weights larger than this are written to a separate file."
    )
    tensorrt_batch: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Largest batch of a TensorRT engine; serve.max_batch_size must not exceed it.",
    )
    calibration_passages: int = Field(
        default=512,
        ge=8,
        description="Number of passages used to calibrate the value ranges of int8 for TensorRT.",
    )
    parity_texts: int = Field(
        default=256, ge=256, description="Number of domain texts whose vectors are compared one by one."
    )
    min_cosine_fp32: Share = Field(
        default=0.9999, description="Lowest cosine allowed between a text's vector at fp32 and its PyTorch vector."
    )
    min_cosine_fp16: Share = Field(default=0.999, description="Lowest cosine allowed at fp16.")
    min_cosine_bf16: Share = Field(default=0.999, description="Lowest cosine allowed at bf16.")
    min_cosine_int8: Share = Field(default=0.97, description="Lowest cosine allowed at int8.")
    max_ndcg_drift: Share = Field(
        default=0.005, description="Largest change allowed in nDCG@10 on dev compared with PyTorch, up or down."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        allowed = PRECISIONS[self.target]
        if self.precision not in allowed:
            choice = " or ".join(allowed)
            raise ValueError(
                f"precision {self.precision} is not available for target {self.target}, only {choice}"
            )
        return self

    def min_cosine(self, precision: Precision) -> float:
        """Return the lowest cosine allowed for a text."""
        return {
            "fp32": self.min_cosine_fp32,
            "fp16": self.min_cosine_fp16,
            "bf16": self.min_cosine_bf16,
            "int8": self.min_cosine_int8,
        }[precision]
