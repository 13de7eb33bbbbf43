"""Settings of the machine: where data is and how fast it is processed, never what comes out."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class StorageSettings(Section):
    """An S3-compatible object store for s3:// addresses."""

    endpoint: str | None = Field(default=None, description="host:port, without a scheme.")
    secure: bool = Field(default=True, description="TLS.")
    region: str | None = Field(default=None, description="Region, where the store wants one.")


class RuntimeSettings(Section):
    """Where and how fast, never what: these settings do not enter an artifact's identity."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: the GPU if there is one.")
    encode_batch_size: int = Field(default=32, ge=1, description="Texts encoded at a time.")
