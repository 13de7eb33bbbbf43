"""Settings of the machine: they affect where data is and how fast it is processed, never the result."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class StorageSettings(Section):
    """An S3-compatible object store for s3:// addresses."""

    endpoint: str | None = Field(default=None, description="Address of the store as host:port, without a scheme.")
    secure: bool = Field(default=True, description="Connect with TLS.")
    region: str | None = Field(default=None, description="Region, if the store requires one.")


class RuntimeSettings(Section):
    """Device and batch size of models; these settings are not part of an artifact's identity."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device that models run on; auto: the GPU if there is one."
    )
    encode_batch_size: int = Field(default=32, ge=1, description="Number of texts encoded in one batch.")
    vector_cache_gb: float = Field(
        default=20.0,
        gt=0,
        description="Size of the vector cache in GB above which the least recently used vectors are removed, by "
        "the next process that opens it while no other uses it.",
    )
