"""Many requests at once, which tests of `gather_replies` share."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError
from embedtune.llm.gather import gather_replies
from embedtune.llm.pacing import Pacing
from tests.support.openai_replies import Call
from tests.support.openai_server import OpenAIServer

QUICK = Pacing(base_s=0.001, cap_s=0.005)


class Echo(BaseModel):
    text: str


@dataclass
class Recorded:
    """A progress task that records its updates."""

    advanced: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    def advance(self, n: int = 1) -> None:
        self.advanced += n

    def skip(self, n: int = 1) -> None:
        self.skipped += n

    def note(self, text: str) -> None:
        self.notes.append(text)


def requests(number: int) -> list[LLMRequest[Echo]]:
    return [LLMRequest("echo", [{"role": "user", "content": f"number {n}"}], Echo) for n in range(number)]


def echo(call: Call) -> str:
    return Echo(text=call.original[-1]["content"]).model_dump_json()


def client_for(server: OpenAIServer | None, cache: ResponseCache, **changed: Any) -> LLMClient:
    keywords = {key: changed.pop(key) for key in ("replay", "budget") if key in changed}
    fields = {"base_url": server and server.url, "model": "tiny", "concurrency": 4, "timeout_s": 120, **changed}
    return LLMClient(LLMEndpointSettings.model_validate(fields), None, cache, pacing=QUICK, **keywords)


def gather(
    client: LLMClient, number: int, share: float = 0.2, task: Recorded | None = None
) -> list[Echo | ItemError]:
    async def scenario() -> list[Echo | ItemError]:
        async with client:
            return await gather_replies(client, requests(number), task or Recorded(), share)

    return asyncio.run(scenario())
