"""Requests, settings and runs that the tests of the LLM client share."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, Field

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import GateError, LLMEndpointError
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError, ReplayMiss
from embedtune.llm.pacing import Pacing
from tests.support.openai_server import OpenAIServer

QUICK = Pacing(base_s=0.001, cap_s=0.005, poll_s=0.001)
KEY = "sk-very-secret-310"


class Answer(BaseModel):
    words: str
    score: int = Field(ge=1, le=10)


def request(text: str = "what is kelp", prompt: str = "questions") -> LLMRequest[Answer]:
    return LLMRequest(
        prompt, [{"role": "system", "content": "Answer."}, {"role": "user", "content": text}], Answer
    )


def settings(server: OpenAIServer | None, **changed: Any) -> LLMEndpointSettings:
    fields = {"base_url": server and server.url, "model": "tiny", "concurrency": 4, "timeout_s": 120, "retries": 3}
    return LLMEndpointSettings.model_validate({**fields, **changed})


def run(client: LLMClient, *requests: LLMRequest[Answer]) -> list[Answer]:
    """Send the requests one after the other, close the client, and return the replies."""

    async def scenario() -> list[Answer]:
        async with client:
            return [await client.ask(one) for one in requests]

    return asyncio.run(scenario())


def outcome(client: LLMClient, one: LLMRequest[Answer]) -> Exception:
    """Send a request, close the client, and return the error that it raised."""

    async def scenario() -> Exception:
        async with client:
            with pytest.raises((ItemError, LLMEndpointError, GateError, ReplayMiss)) as caught:
                await client.ask(one)
            return caught.value

    return asyncio.run(scenario())
