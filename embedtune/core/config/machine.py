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
    """Device and batch size of models, and processes; these settings are not part of an artifact's identity."""

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
