"""Settings of the machine: where data is, which device models run on, and in which precision they compute."""

from typing import Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section


class StorageSettings(Section):
    """An S3-compatible object store for s3:// addresses."""

    endpoint: str | None = Field(default=None, description="Address of the store as host:port, without a scheme.")
    secure: bool = Field(default=True, description="Connect with TLS.")
    region: str | None = Field(default=None, description="Region, if the store requires one.")
    kept: str | None = Field(
        default=None,
        pattern=r"^(s3://|/)",
        description="s3://bucket/prefix (or a directory of a volume) where a pipeline keeps LLM replies and "
        "training checkpoints as they are made, so that a lost pod or a later run starts from them; None: they "
        "are lost with the pod. Runs on this machine keep them in WORK/cache.",
    )


class RuntimeSettings(Section):
    """How models run, and processes.

    Precision and attention change vectors, so they are part of an artifact's identity; the other settings are not.
    """

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device that models run on; auto: the GPU if there is one."
    )
    processes: int | None = Field(
        default=None,
        ge=0,
        description="Processes that read documents; by default one per core, fewer for few documents. 0: no "
        "process of its own, so that a file that crashes its reader ends ingest.",
    )
    encode_batch_size: int = Field(default=32, ge=1, description="Number of texts encoded in one batch.")
    vector_cache_gb: float = Field(
        default=20.0,
        gt=0,
        description="Size of the vector cache in GB above which the least recently used vectors are removed, by "
        "the next process that opens it while no other uses it.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Arithmetic of encoding and training, the same for base, tuned model and champion; auto: bf16 "
        "on a GPU that has it, else fp32. On CPUs with AMX or AVX-512 bf16, bf16 is faster.",
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        default="auto",
        description="Implementation of attention; auto: the one that transformers prefers for the model. "
        "flash_attention_2 needs a GPU, bf16 and the package flash-attn.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.attention == "flash_attention_2" and (self.precision == "fp32" or self.device == "cpu"):
            raise ValueError("attention flash_attention_2 needs precision bf16 (or auto) and a GPU")
        return self
