"""Settings of the machine: where data is and how fast it is processed, never what the result is."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class StorageSettings(Section):
    """An S3-compatible object store for s3:// addresses."""

    endpoint: str | None = Field(default=None, description="Address of the store as host:port, without a scheme.")
    secure: bool = Field(default=True, description="Connect with TLS.")
    region: str | None = Field(default=None, description="Region, if the store requires one.")


class RuntimeSettings(Section):
    """Where and how fast models run; these settings are no part of an artifact's identity."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where models run; auto: on the GPU if there is one."
    )
    encode_batch_size: int = Field(default=32, ge=1, description="Texts encoded in one batch.")
