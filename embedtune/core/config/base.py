"""Settings of the base model that are no part of the encoder contract."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section

Forced = Literal["pooling", "max_length", "query_prefix", "passage_prefix", "similarity", "attention"]


class BaseSettings(Section):
    """How strictly the base model's own files are followed."""

    force: tuple[Forced, ...] = Field(
        default=(),
        description="Fields of the contract that may differ from what the base model's own files say. A "
        "difference is refused otherwise: the base model would be measured below what it really is. `attention` "
        "allows the mean of a causal decoder's tokens, of which only the last ones know the whole text.",
    )
