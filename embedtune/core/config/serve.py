"""Settings of the Triton model repository and the gateway."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class ServeSettings(Section):
    """How Triton batches and what requests may be."""

    model_name: str = Field(
        default="embedtune", pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Name of the endpoint model."
    )
    max_batch_size: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Texts in one batch on the server; larger ones make the others wait.",
    )
    max_queue_delay_us: int = Field(
        default=1000, ge=0, description="Microseconds that a request may wait for others to share its batch."
    )
    max_queue_size: int = Field(default=256, ge=1, description="Requests waiting; more are refused (429).")
    instances: int = Field(
        default=1, ge=1, le=64, description="Copies of the encoder that compute side by side; one more waits."
    )
    response_cache_mb: int = Field(default=0, ge=0, description="Triton's response cache; 0: none.")
    max_text_bytes: int = Field(default=65_536, ge=16, description="Longest text, in bytes of UTF-8.")
    on_long_text: Literal["truncate", "refuse"] = Field(
        default="truncate", description="What happens to a text of more tokens than the contract's max_length."
    )
    max_inputs: int = Field(default=256, ge=1, description="Texts in one gateway request.")
    max_body_bytes: int = Field(default=4_000_000, ge=1024, description="Largest gateway request.")
