"""The LLM client when a recording is replayed."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from embedtune.llm.budget import Usage
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ReplayMiss
from tests.support.llm_client import Answer, outcome, request, run, settings
from tests.support.openai_server import OpenAIServer


class Header(BaseModel):
    model: str


def test_a_recording_answers_without_any_llm_endpoint(cache: ResponseCache, tmp_path: Path) -> None:
    with OpenAIServer() as server:
        recorded = run(LLMClient(settings(server), None, cache), request("a b c"), request("d e f"))
    cache.export(tmp_path / "r.gz", Header(model="tiny"))
    elsewhere = ResponseCache(tmp_path / "elsewhere.sqlite")
    elsewhere.import_recording(tmp_path / "r.gz", Header)
    client = LLMClient(settings(None), None, elsewhere, replay=True)
    assert run(client, request("a b c"), request("d e f")) == recorded
    assert client.usage == Usage(cached_calls=2)


@pytest.mark.parametrize(
    ("changed", "one", "difference"),
    [
        ({}, request("other words"), "the messages"),
        ({"model": "big"}, request(), "the model: big"),
        ({"temperature": 0.0}, request(), "the parameters"),
        ({}, request("x", prompt="judge"), "no reply to this prompt at all"),
        (
            {},
            LLMRequest("questions", request().messages, type("Other", (Answer,), {"__doc__": "Other."})),
            "the JSON schema",
        ),
    ],
)
def test_a_miss_names_the_prompt_the_difference_and_the_ways_out(
    cache: ResponseCache, changed: dict[str, Any], one: LLMRequest[Answer], difference: str
) -> None:
    with OpenAIServer() as server:
        run(LLMClient(settings(server), None, cache), request())
        # A replay never calls the LLM endpoint, even if one is configured.
        error = outcome(LLMClient(settings(server, **changed), None, cache, replay=True), one)
        assert len(server.calls) == 1
    assert isinstance(error, ReplayMiss)
    assert error.prompt == one.prompt
    for part in (one.prompt, difference, "generate.llm.base_url", "local-llm", "record again"):
        assert part in str(error)


def test_a_miss_names_each_recorded_model_once(cache: ResponseCache) -> None:
    schemas = [type(name, (Answer,), {"__doc__": f"{name}."}) for name in ("Other", "Third")]
    requests = [LLMRequest("questions", request().messages, schema) for schema in schemas]
    with OpenAIServer() as server:
        run(LLMClient(settings(server), None, cache), *requests)
        error = outcome(LLMClient(settings(server), None, cache, replay=True), request("x"))
    assert str(error).count("temperature") == 1
