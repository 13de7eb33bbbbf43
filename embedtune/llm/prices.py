"""What LLM calls cost."""

from collections.abc import Sequence

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.dialect import Dialect
from embedtune.llm.schema import JsonSchema, Message

# A text never has more tokens than bytes; a chat template adds fewer tokens than this per message.
TEMPLATE_TOKENS = 64
# What a call is taken to cost at most if nothing limits its reply.
UNLIMITED_TOKENS = 32_768


def usd(settings: LLMEndpointSettings, prompt_tokens: int, completion_tokens: int) -> float:
    """Return the price of tokens; prices are in USD per million."""
    price_in, price_out = settings.price_in or 0.0, settings.price_out or 0.0
    return (prompt_tokens * price_in + completion_tokens * price_out) / 1e6


def most_usd(
    settings: LLMEndpointSettings, messages: Sequence[Message], schema: JsonSchema, dialect: Dialect
) -> float:
    """Return the most that a request can cost, in USD."""
    text_bytes = sum(len(message["content"].encode()) + TEMPLATE_TOKENS for message in messages)
    # The schema may be counted twice: as a parameter, and in the prompt.
    most_sent = text_bytes + 2 * len(str(schema).encode())
    limited = settings.max_tokens is not None and dialect.token_limit != "none"  # noqa: S105 - no password
    most_received = settings.max_tokens if settings.max_tokens and limited else UNLIMITED_TOKENS
    return usd(settings, most_sent, most_received)


def batch_share(settings: LLMEndpointSettings) -> float:
    """Return the share of the price that most calls of a run cost: in batches, or all of it."""
    return settings.batch_price if settings.batch == "api" else 1.0
