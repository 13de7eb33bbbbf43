"""A trial of an LLM endpoint with the requests that a run will send, for `embedtune doctor`."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError
from embedtune.llm.schema import Message

MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Reply in JSON: describe the sea in one field, in about fifty words."},
)
# A trial is for someone who waits for it.
MOST_RETRIES = 2


class _Proof(BaseModel):
    """A reply that only an enforced schema can produce: the prompt does not mention the word."""

    model_config = ConfigDict(extra="forbid")
    word: Literal["zirconium-310"]
    sea: str


@dataclass(frozen=True)
class LLMEndpointReport:
    """What an LLM endpoint that answered a run's requests can do.

    Attributes:
        form: The form of request that it accepts, in words.
        json_schema: Whether it enforces a JSON schema. If not, the schema goes into the prompt, and more replies
            need a repair.
        latency_s: Seconds per request, repairs included.
        tokens_per_s: Completion tokens per second of one request at a time; None if it reports no tokens.
    """

    form: str
    json_schema: bool
    latency_s: float
    tokens_per_s: float | None


def probe_llm_endpoint(
    settings: LLMEndpointSettings,
    api_key: str | None,
    requests: Sequence[LLMRequest[BaseModel]],
    section: str = "generate.llm",
) -> LLMEndpointReport:
    """Send requests of a run with the client of a run, without its cache, and then one that tests the schema.

    Args:
        settings: The LLM endpoint.
        api_key: Its API key, or None.
        requests: The requests to send.
        section: Section of the configuration that the settings are from.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or it cannot be used.
        ItemError: A request got no usable reply.
    """
    changes = {"retries": min(settings.retries, MOST_RETRIES), "concurrency": 1, "outage_s": 0.0}
    return asyncio.run(_probe(settings.model_copy(update=changes), api_key, requests, section))


async def _probe(
    settings: LLMEndpointSettings,
    api_key: str | None,
    requests: Sequence[LLMRequest[BaseModel]],
    section: str,
) -> LLMEndpointReport:
    with tempfile.TemporaryDirectory() as folder, ResponseCache(Path(folder) / "replies.sqlite") as cache:
        async with LLMClient(settings, api_key, cache, section=section) as client:
            started = time.monotonic()
            for request in requests:
                await client.ask(request)
            seconds = time.monotonic() - started
            enforced = await _enforces_schema(LLMClient(settings, api_key, cache, section=section))
            tokens = client.usage.completion_tokens
            return LLMEndpointReport(
                form=str(client.dialect),
                json_schema=enforced,
                latency_s=seconds / max(len(requests), 1),
                tokens_per_s=tokens / seconds if tokens else None,
            )


async def _enforces_schema(client: LLMClient) -> bool:
    async with client:
        try:
            await client.ask(LLMRequest("doctor", MESSAGES, _Proof))
        except ItemError:
            return False
        dialect = client.dialect
        # A repair shows the schema in the prompt, so only a reply that was right at once proves anything.
        return dialect is not None and dialect.structure == "json_schema" and client.usage.calls == 1
