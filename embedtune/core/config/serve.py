"""Settings of the Triton model repository and the gateway."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class ServeSettings(Section):
    """Settings of Triton's batching, and limits on requests."""

    model_name: str = Field(
        default="embedtune",
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="Model name that clients send to the endpoint.",
    )
    max_batch_size: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Maximum number of texts in one batch on the server; larger batches make other requests wait.",
    )
    max_queue_delay_us: int = Field(
        default=1000,
        ge=0,
        description="Longest time in microseconds that a request waits for others to share its batch.",
    )
    max_queue_size: int = Field(
        default=256,
        ge=1,
        description="Maximum number of waiting requests; any more are refused with status 429.",
    )
    instances: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of copies of the encoder that run in parallel; one more copy tokenises meanwhile.",
    )
    response_cache_mb: int = Field(
        default=0, ge=0, description="Size of Triton's response cache in MB; 0: no cache."
    )
    max_text_bytes: int = Field(
        default=65_536, ge=16, description="Longest text that is accepted, in bytes of UTF-8."
    )
    on_long_text: Literal["truncate", "refuse"] = Field(
        default="truncate", description="What happens to a text with more tokens than contract.max_length."
    )
    max_inputs: int = Field(
        default=2048, ge=1, description="Maximum number of texts in one request to the gateway."
    )
    max_body_bytes: int = Field(
        default=4_000_000, ge=1024, description="Largest body of a request to the gateway, in bytes."
    )
