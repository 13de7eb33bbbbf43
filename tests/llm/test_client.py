"""The LLM client against a real server: requests, repairs, dialects, budget and concurrency."""

import asyncio
import gzip
import json
import threading
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from embedtune.core.errors import GateError, LLMEndpointError
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.errors import ItemError
from tests.support.llm_client import KEY, QUICK, Answer, outcome, request, run, settings
from tests.support.openai_replies import Call, always, built_reply, script
from tests.support.openai_server import OpenAIServer

# Requests


def test_a_reply_is_the_model_and_the_request_is_what_the_settings_say(cache: ResponseCache) -> None:
    with OpenAIServer(replies=lambda call: '{"words": "brown algae", "score": 9}', api_key=KEY) as server:
        client = LLMClient(settings(server, temperature=0.1, max_tokens=50, seed=7), KEY, cache)
        assert run(client, request()) == [Answer(words="brown algae", score=9)]
        (call,) = server.calls
    response_format = call.body.pop("response_format")
    assert call.body == {
        "model": "tiny",
        "messages": request().messages,
        "temperature": 0.1,
        "top_p": 0.95,
        "max_tokens": 50,
        "seed": 7,
    }
    assert response_format["type"] == "json_schema"
    assert response_format["json_schema"]["strict"] is True
    assert response_format["json_schema"]["schema"]["additionalProperties"] is False


def test_tokens_and_cost_are_those_that_the_server_counted(cache: ResponseCache) -> None:
    with OpenAIServer(replies=lambda call: '{"words": "a", "score": 9}') as server:
        client = LLMClient(settings(server, price_in=2.0, price_out=10.0), None, cache)
        run(client, request("one two three"), request("one"), request("one"))
    # The server counts words: "Answer." + 3, then + 1; each reply has 4; the third request is cached.
    assert client.usage == Usage(4 + 2, 4 + 4, 2, 1, pytest.approx((6 * 2.0 + 8 * 10.0) / 1e6))


def test_a_reply_is_paid_for_once_whatever_the_url_key_price_and_pace(cache: ResponseCache) -> None:
    with OpenAIServer() as first:
        answers = run(LLMClient(settings(first), None, cache), request(), request())
        assert first.completions == 1
    with OpenAIServer() as second:
        client = LLMClient(settings(second, concurrency=1, price_in=5, retries=0, timeout_s=1), KEY, cache)
        assert run(client, request(prompt="renamed")) == answers[:1]
        assert second.calls == []
    assert client.usage == Usage(cached_calls=1)


def test_the_same_request_several_times_at_once_is_one_call(cache: ResponseCache) -> None:
    async def scenario(client: LLMClient) -> list[Answer]:
        async with client:
            return await asyncio.gather(*(client.ask(request()) for _ in range(5)))

    with OpenAIServer(delay_s=0.05) as server:
        client = LLMClient(settings(server), None, cache)
        answers = asyncio.run(scenario(client))
        assert server.completions == 1
    assert len({answer.words for answer in answers}) == 1
    assert (client.usage.calls, client.usage.cached_calls) == (1, 4)


def test_a_stored_reply_that_a_newer_validator_rejects_is_requested_again(cache: ResponseCache) -> None:
    class Stricter(BaseModel):
        words: str
        score: int = Field(ge=1, le=10)

        @field_validator("words")
        @classmethod
        def _check(cls, value: str) -> str:
            if "old" in value:
                raise ValueError("old words")
            return value

    with OpenAIServer(
        replies=lambda call: f'{{"words": "{"new" if call.index else "old"}", "score": 5}}'
    ) as server:
        run(LLMClient(settings(server), None, cache), request())
        again = LLMRequest("questions", request().messages, Stricter)
        assert run(LLMClient(settings(server), None, cache), again) == [Stricter(words="new", score=5)]  # type: ignore[arg-type]
        assert run(LLMClient(settings(server), None, cache), again) == [Stricter(words="new", score=5)]  # type: ignore[arg-type]
        assert server.completions == 2


def test_a_complete_reply_is_found_whatever_max_tokens_is(cache: ResponseCache) -> None:
    with OpenAIServer() as server:
        first = run(LLMClient(settings(server), None, cache), request())
        for limit in (64, 4096, None):
            assert run(LLMClient(settings(server, max_tokens=limit), None, cache), request()) == first
        assert server.completions == 1


def test_a_reply_that_was_cut_off_is_asked_for_again_with_a_larger_limit(cache: ResponseCache) -> None:
    def cut_below_100(call: Call) -> str | None:
        return "truncated" if call.body["max_tokens"] < 100 else None

    with OpenAIServer(faults=cut_below_100) as server:
        error = outcome(LLMClient(settings(server, max_tokens=64), None, cache), request())
        assert isinstance(error, ItemError)
        assert error.kind == "cut off"
        assert run(LLMClient(settings(server, max_tokens=128), None, cache), request())
        assert server.answered.total() == 1


# Unusable replies


@pytest.mark.parametrize("fault", ["invalid_json", "wrong_schema", "truncated", "empty"])
def test_an_unusable_reply_is_repaired_once_and_both_are_paid_for(cache: ResponseCache, fault: str) -> None:
    with OpenAIServer(faults=script(fault)) as server:
        client = LLMClient(settings(server), None, cache)
        (answer,) = run(client, request())
        original, repair = server.calls
    assert repair.body["messages"][1] == original.body["messages"][1]
    # A server that ignores the schema as a parameter sees it in the prompt; one that was cut off knows it.
    assert ("JSON schema" in repair.body["messages"][0]["content"]) == (fault != "truncated")
    assert [message["role"] for message in repair.body["messages"][2:]] == ["assistant", "user"]
    assert client.usage.calls == 2
    (row,) = recorded(cache)
    assert json.loads(row["text"]) == answer.model_dump()
    assert row["prompt_tokens"] == client.usage.prompt_tokens
    assert row["completion_tokens"] == client.usage.completion_tokens


class NoHeader(BaseModel):
    """A recording's header without content."""


def recorded(cache: ResponseCache) -> list[dict[str, Any]]:
    path = cache.path.with_suffix(".gz")
    cache.export(path, NoHeader())
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]


@pytest.mark.parametrize(
    ("fault", "kind", "detail", "calls"),
    [
        ("invalid_json", "invalid JSON", "line 1 column", 2),
        ("wrong_schema", "wrong schema", "words: Field required", 2),
        ("truncated", "cut off", "max_tokens 2048", 2),
        ("truncated_unsaid", "cut off", "in the middle of its JSON", 2),
        ("empty", "invalid JSON", "empty", 2),
        ("refusal", "refused", "I cannot help with that.", 1),
    ],
)
def test_an_item_whose_repair_is_unusable_fails_with_its_reason_and_is_not_stored(
    cache: ResponseCache, fault: str, kind: str, detail: str, calls: int
) -> None:
    with OpenAIServer(faults=always(fault)) as server:
        client = LLMClient(settings(server, price_out=1.0), None, cache)
        error = outcome(client, request())
        assert server.completions == calls
    assert isinstance(error, ItemError)
    assert (error.prompt, error.kind) == ("questions", kind)
    assert detail in error.detail
    assert "\x1b" not in str(error)
    assert len(cache) == 0
    assert client.usage.calls == calls
    assert client.usage.cost_usd > 0


def test_a_code_fence_and_reasoning_around_the_json_need_no_repair(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("fenced")) as server:
        run(LLMClient(settings(server), None, cache), request())
        assert server.completions == 1


def test_a_server_that_reports_no_tokens_works_unless_it_has_a_price(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("no_usage")) as server:
        client = LLMClient(settings(server), None, cache)
        run(client, request())
        assert client.usage == Usage(calls=1)
        error = outcome(LLMClient(settings(server, price_in=1.0), None, cache), request("another"))
    assert isinstance(error, LLMEndpointError)
    assert "does not report tokens" in str(error)


# Dialects


def test_a_server_without_json_schema_gets_it_in_the_prompt_with_one_warning(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: LLMClient) -> list[Answer]:
        async with client:
            at_once = await asyncio.gather(*(client.ask(request(f"request {n}")) for n in range(4)))
            return [*at_once, await client.ask(request("later"))]

    with OpenAIServer(json_schema=False) as server:
        client = LLMClient(settings(server, retries=0), None, cache)
        answers = asyncio.run(scenario(client))
        last = server.calls[-1]
        assert len(server.calls) == 4 + 5  # the first four were all in flight when the server rejected the schema
    assert len(answers) == 5
    assert last.body["response_format"] == {"type": "json_object"}
    assert '"additionalProperties":false' in last.body["messages"][0]["content"]
    assert [record.levelname for record in caplog.records if "rejects this form" in record.message] == ["WARNING"]
    # A server that supports schemas shares the same cached replies.
    with OpenAIServer() as other:
        run(LLMClient(settings(other), None, cache), request("later"))
        assert other.calls == []


def test_a_model_that_expects_max_completion_tokens_gets_it(cache: ResponseCache) -> None:
    with OpenAIServer(max_tokens=False, json_schema=False) as server:
        run(LLMClient(settings(server, max_tokens=99), None, cache), request())
        body = server.calls[-1].body
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body


# Budget


def test_the_ceiling_stops_a_call_before_it_is_sent(cache: ResponseCache) -> None:
    # A reply may have 100 tokens at 1000 USD per million: 0.10 each. Real replies have 4 tokens: 0.004.
    with OpenAIServer(replies=lambda call: '{"words": "a", "score": 9}') as server:
        budget = Budget(0.107)
        client = LLMClient(settings(server, max_tokens=100, price_out=1000.0), None, cache, budget=budget)

        async def scenario() -> list[Answer | BaseException]:
            async with client:
                return await asyncio.gather(
                    *(client.ask(request(str(n))) for n in range(5)), return_exceptions=True
                )

        results = asyncio.run(scenario())
        assert server.completions == 2  # 0, then 0.004 is spent; at 0.008, another 0.1 would exceed 0.107
    assert [isinstance(result, GateError) for result in results].count(True) == 3
    assert budget.spent_usd == pytest.approx(0.008)
    assert len(cache) == 2


def test_generator_and_judge_share_a_ceiling(cache: ResponseCache) -> None:
    with OpenAIServer(replies=lambda call: '{"words": "a", "score": 9}') as server:
        budget = Budget(0.1)
        expensive = settings(server, max_tokens=100, price_out=1000.0)
        run(LLMClient(expensive, None, cache, budget=budget), request("generate"))
        error = outcome(LLMClient(expensive, None, cache, budget=budget), request("judge"))
        assert isinstance(error, GateError)
        assert run(LLMClient(expensive, None, cache, budget=budget), request("generate"))  # cached: costs nothing


# Concurrency


def test_concurrency_shrinks_under_rate_limits_and_grows_back(cache: ResponseCache) -> None:
    def crowded(call: Call) -> str | None:
        return "429" if call.index < 8 else None

    with OpenAIServer(faults=crowded) as server:
        client = LLMClient(settings(server, concurrency=8), None, cache, pacing=QUICK)
        limits = asyncio.run(_limits(client, 60))
        assert server.busiest <= 8
    assert min(limits) <= 4
    assert limits[-1] == 8


async def _limits(client: LLMClient, number: int) -> list[int]:
    seen: list[int] = []

    async def one(n: int) -> None:
        await client.ask(request(f"request {n}"))
        seen.append(client.limit)

    async with client:
        await asyncio.gather(*(one(n) for n in range(number)))
    return seen


def test_as_many_requests_are_in_flight_as_configured_and_no_more(cache: ResponseCache) -> None:
    three = threading.Barrier(3)

    def together(call: Call) -> str:
        three.wait(timeout=120)
        return built_reply(call)

    with OpenAIServer(replies=together) as server:
        asyncio.run(_limits(LLMClient(settings(server, concurrency=3), None, cache), 12))
        assert server.busiest == 3
