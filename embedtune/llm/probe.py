"""A trial of an LLM endpoint with the requests that a run will send, before the run sends them."""

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
from embedtune.llm.errors import ItemError, SlowReply
from embedtune.llm.schema import Message
from embedtune.llm.wire import shown_url

MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Reply in JSON: describe the sea in one field, in about fifty words."},
)
# A trial is for someone who waits for it.
MOST_RETRIES = 2
MARGIN_S = 5.0


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
            need a repair. None: not tested.
        latency_s: Seconds per request, repairs included.
        tokens_per_s: Completion tokens per second of one request at a time; None if it reports no tokens.
    """

    form: str
    json_schema: bool | None
    latency_s: float
    tokens_per_s: float | None


@dataclass(frozen=True)
class _Trial:
    """An LLM endpoint that is tried, and how long is waited for each of its replies."""

    settings: LLMEndpointSettings
    api_key: str | None
    section: str
    patience_s: float

    def client(self, cache: ResponseCache) -> LLMClient:
        """Return a client, whose own time limit is never the first to end."""
        changes = {"retries": min(self.settings.retries, MOST_RETRIES), "concurrency": 1, "outage_s": 0.0}
        changes["timeout_s"] = self.patience_s + MARGIN_S
        return LLMClient(self.settings.model_copy(update=changes), self.api_key, cache, section=self.section)

    async def reply(self, client: LLMClient, request: LLMRequest[BaseModel]) -> None:
        """Wait for a reply.

        Raises:
            SlowReply: It does not come in time.
        """
        try:
            async with asyncio.timeout(self.patience_s):
                await client.ask(request)
        except TimeoutError:
            raise SlowReply(shown_url(self.settings), self.patience_s) from None


def probe_llm_endpoint(
    settings: LLMEndpointSettings,
    api_key: str | None,
    requests: Sequence[LLMRequest[BaseModel]],
    section: str = "generate.llm",
    *,
    patience_s: float | None = None,
    test_schema: bool = True,
) -> LLMEndpointReport:
    """Send requests of a run with the client of a run, without its cache, and then one that tests the schema.

    Args:
        settings: The LLM endpoint.
        api_key: Its API key, or None.
        requests: The requests to send.
        section: Section of the configuration that the settings are from.
        patience_s: Seconds to wait for each reply; None, or at most: as long as a call of a run may take.
        test_schema: Whether to test if a JSON schema is enforced, which is one more call.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or it cannot be used.
        SlowReply: A reply takes too long: the server is slow, or not there.
        ItemError: A request got no usable reply.
    """
    patience = min(patience_s or settings.timeout_s, settings.timeout_s)
    return asyncio.run(_probe(_Trial(settings, api_key, section, patience), requests, test_schema=test_schema))


async def _probe(
    trial: _Trial, requests: Sequence[LLMRequest[BaseModel]], *, test_schema: bool
) -> LLMEndpointReport:
    with tempfile.TemporaryDirectory() as folder, ResponseCache(Path(folder) / "replies.sqlite") as cache:
        async with trial.client(cache) as client:
            started = time.monotonic()
            for request in requests:
                await trial.reply(client, request)
            seconds = time.monotonic() - started
            enforced = await _enforces_schema(trial.client(cache)) if test_schema else None
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
