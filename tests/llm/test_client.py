"""The LLM client against a real server that misbehaves."""

import asyncio
import gzip
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from embedtune.core.config.generate import EndpointSettings
from embedtune.core.errors import EndpointError, GateError
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import Ask, LLMClient
from embedtune.llm.errors import ItemError, ReplayMiss
from embedtune.llm.pacing import Pacing
from tests.support.openai_replies import Call, always, built_reply, script
from tests.support.openai_server import OpenAIServer

QUICK = Pacing(base_s=0.001, cap_s=0.005)
KEY = "sk-very-secret-310"


class Answer(BaseModel):
    words: str
    score: int = Field(ge=1, le=10)


def ask(text: str = "what is kelp", prompt: str = "questions") -> Ask[Answer]:
    return Ask(prompt, [{"role": "system", "content": "Answer."}, {"role": "user", "content": text}], Answer)


def settings(server: OpenAIServer | None, **changed: Any) -> EndpointSettings:
    fields = {"base_url": server and server.url, "model": "tiny", "concurrency": 4, "timeout_s": 120, "retries": 3}
    return EndpointSettings.model_validate({**fields, **changed})


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "replies.sqlite")


def run(client: LLMClient, *asks: Ask[Answer]) -> list[Answer]:
    """Ask one after the other and close."""

    async def scenario() -> list[Answer]:
        async with client:
            return [await client.ask(one) for one in asks]

    return asyncio.run(scenario())


def outcome(client: LLMClient, one: Ask[Answer]) -> Exception:
    async def scenario() -> Exception:
        async with client:
            with pytest.raises((ItemError, EndpointError, GateError, ReplayMiss)) as caught:
                await client.ask(one)
            return caught.value

    return asyncio.run(scenario())


# Asking


def test_a_reply_is_the_model_and_the_request_is_what_the_settings_say(cache: ResponseCache) -> None:
    with OpenAIServer(replies=lambda call: '{"words": "brown algae", "score": 9}', api_key=KEY) as server:
        client = LLMClient(settings(server, temperature=0.1, max_tokens=50, seed=7), KEY, cache)
        assert run(client, ask()) == [Answer(words="brown algae", score=9)]
        (call,) = server.calls
    response_format = call.body.pop("response_format")
    assert call.body == {
        "model": "tiny",
        "messages": ask().messages,
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
        run(client, ask("one two three"), ask("one"), ask("one"))
    # Words are tokens there: "Answer." + 3 and + 1; the reply is 4; the third ask is cached.
    assert client.usage == Usage(4 + 2, 4 + 4, 2, 1, pytest.approx((6 * 2.0 + 8 * 10.0) / 1e6))


def test_a_reply_is_paid_once_for_all_runs_whatever_address_key_price_and_pace(cache: ResponseCache) -> None:
    with OpenAIServer() as first:
        answers = run(LLMClient(settings(first), None, cache), ask(), ask())
        assert first.completions == 1
    with OpenAIServer() as second:
        client = LLMClient(settings(second, concurrency=1, price_in=5, retries=0, timeout_s=1), KEY, cache)
        assert run(client, ask(prompt="renamed")) == answers[:1]
        assert second.calls == []
    assert client.usage == Usage(cached_calls=1)


def test_the_same_ask_under_way_twice_is_one_call(cache: ResponseCache) -> None:
    async def scenario(client: LLMClient) -> list[Answer]:
        async with client:
            return await asyncio.gather(*(client.ask(ask()) for _ in range(5)))

    with OpenAIServer(delay_s=0.05) as server:
        client = LLMClient(settings(server), None, cache)
        answers = asyncio.run(scenario(client))
        assert server.completions == 1
    assert len({answer.words for answer in answers}) == 1
    assert (client.usage.calls, client.usage.cached_calls) == (1, 4)


def test_a_stored_reply_that_a_newer_validator_refuses_is_asked_for_again(cache: ResponseCache) -> None:
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
        run(LLMClient(settings(server), None, cache), ask())
        again = Ask("questions", ask().messages, Stricter)
        assert run(LLMClient(settings(server), None, cache), again) == [Stricter(words="new", score=5)]  # type: ignore[arg-type]
        assert run(LLMClient(settings(server), None, cache), again) == [Stricter(words="new", score=5)]  # type: ignore[arg-type]
        assert server.completions == 2


# Useless replies


@pytest.mark.parametrize("fault", ["invalid_json", "wrong_schema", "truncated", "empty"])
def test_a_useless_reply_is_repaired_once_and_both_are_paid(cache: ResponseCache, fault: str) -> None:
    with OpenAIServer(faults=script(fault)) as server:
        client = LLMClient(settings(server), None, cache)
        (answer,) = run(client, ask())
        original, repair = server.calls
    assert repair.body["messages"][:2] == original.body["messages"]
    assert [message["role"] for message in repair.body["messages"][2:]] == ["assistant", "user"]
    assert client.usage.calls == 2
    (row,) = recorded(cache)
    assert json.loads(row["text"]) == answer.model_dump()
    assert row["prompt_tokens"] == client.usage.prompt_tokens
    assert row["completion_tokens"] == client.usage.completion_tokens


def recorded(cache: ResponseCache) -> list[dict[str, Any]]:
    path = cache.path.with_suffix(".gz")
    cache.export(path, {})
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]


@pytest.mark.parametrize(
    ("fault", "kind", "detail", "calls"),
    [
        ("invalid_json", "invalid JSON", "line 1 column", 2),
        ("wrong_schema", "wrong schema", "words: Field required", 2),
        ("truncated", "cut off", "max_tokens 2048", 2),
        ("empty", "invalid JSON", "empty", 2),
        ("refusal", "refused", "I cannot help with that.", 1),
    ],
)
def test_an_item_that_stays_useless_fails_with_its_reason_and_is_not_kept(
    cache: ResponseCache, fault: str, kind: str, detail: str, calls: int
) -> None:
    with OpenAIServer(faults=always(fault)) as server:
        client = LLMClient(settings(server, price_out=1.0), None, cache)
        error = outcome(client, ask())
        assert server.completions == calls
    assert isinstance(error, ItemError)
    assert (error.prompt, error.kind) == ("questions", kind)
    assert detail in error.detail
    assert "\x1b" not in str(error)
    assert len(cache) == 0
    assert client.usage.calls == calls
    assert client.usage.cost_usd > 0


def test_a_fence_and_a_thought_around_the_json_need_no_repair(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("fenced")) as server:
        run(LLMClient(settings(server), None, cache), ask())
        assert server.completions == 1


def test_a_server_without_a_count_of_tokens_works_unless_it_costs_money(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("no_usage")) as server:
        client = LLMClient(settings(server), None, cache)
        run(client, ask())
        assert client.usage == Usage(calls=1)
        error = outcome(LLMClient(settings(server, price_in=1.0), None, cache), ask("another"))
    assert isinstance(error, EndpointError)
    assert "does not report tokens" in str(error)


# Retries


@pytest.mark.parametrize(
    "fault", ["429", "429-date", "500", "503", "short_body", "html", "not_json", "no_choices"]
)
def test_a_passing_failure_is_asked_again(cache: ResponseCache, fault: str) -> None:
    with OpenAIServer(faults=script(fault, fault)) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        run(client, ask())
        assert (len(server.calls), server.completions) == (3, 1)
    assert client.usage.calls == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("429", "HTTP 429"), ("500", "HTTP 500"), ("503", "HTTP 503"), ("html", "not a completion")],
)
def test_after_the_last_attempt_the_item_fails(cache: ResponseCache, fault: str, kind: str) -> None:
    with OpenAIServer(faults=always(fault)) as server:
        error = outcome(LLMClient(settings(server, retries=2), None, cache, pacing=QUICK), ask())
        assert len(server.calls) == 3
    assert isinstance(error, ItemError)
    assert error.kind == kind
    assert "3 attempts" in error.detail


def test_a_request_that_is_refused_for_itself_fails_alone_and_at_once(cache: ResponseCache) -> None:
    with OpenAIServer(faults=script("400")) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        error = outcome(client, ask())
        assert len(server.calls) == 1
    assert isinstance(error, ItemError)
    assert (error.kind, error.detail) == ("HTTP 400", "the prompt is too long for this model")


@pytest.mark.parametrize("fault", ["stall", "trickle"])
def test_silence_and_a_trickle_end_at_the_timeout_and_are_asked_again(cache: ResponseCache, fault: str) -> None:
    with OpenAIServer(faults=script(fault)) as server:
        run(LLMClient(settings(server, timeout_s=1.0, retries=9), None, cache, pacing=QUICK), ask())
        assert len(server.calls) >= 2
    with OpenAIServer(faults=always(fault)) as server:
        error = outcome(
            LLMClient(settings(server, timeout_s=1.0, retries=1), None, cache, pacing=QUICK), ask("more")
        )
        assert len(server.calls) == 2
    assert isinstance(error, ItemError)
    assert (error.kind, error.detail) == ("timeout", "no reply within 1 s (2 attempts)")


def test_the_time_that_the_server_names_is_waited_out(cache: ResponseCache) -> None:
    with OpenAIServer(faults=script("429"), retry_after_s=0.2) as server:
        started = asyncio.run(_seconds(LLMClient(settings(server), None, cache, pacing=QUICK)))
    assert started >= 0.2


async def _seconds(client: LLMClient) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with client:
        await client.ask(ask())
    return loop.time() - started


def test_a_wait_that_is_too_long_stops_the_run_at_once(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("429"), retry_after_s=7200) as server:
        error = outcome(LLMClient(settings(server), None, cache, pacing=QUICK), ask())
        assert len(server.calls) == 1
    assert isinstance(error, EndpointError)
    assert "7200 s" in str(error)


# Endpoints that cannot be used


def test_a_wrong_key_stops_the_run_and_is_never_shown(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(api_key="another") as server:  # its error repeats the key that it got
        client = LLMClient(settings(server), KEY, cache)
        error = outcome(client, ask())
        assert len(server.calls) == 1
    assert isinstance(error, EndpointError)
    assert "OPENAI_API_KEY" in str(error)
    assert "Incorrect API key provided: ***" in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("embedtune"))
    for shown in (str(error), repr(error), repr(client), ours):
        assert KEY not in shown


def test_an_unknown_model_stops_the_run(cache: ResponseCache) -> None:
    with OpenAIServer(models=frozenset({"big"})) as server:
        error = outcome(LLMClient(settings(server), None, cache), ask())
        assert len(server.calls) == 1
    assert isinstance(error, EndpointError)
    assert "tiny" in str(error)
    assert "generate.llm.model" in str(error)


def test_a_server_that_never_answers_is_unreachable(cache: ResponseCache) -> None:
    server = OpenAIServer()
    server.close()
    error = outcome(LLMClient(settings(server, retries=1), None, cache, pacing=QUICK), ask())
    assert isinstance(error, EndpointError)
    assert "cannot be reached" in str(error)
    assert server.url in str(error)


def test_a_server_that_dies_later_fails_items(cache: ResponseCache) -> None:
    async def scenario(client: LLMClient, server: OpenAIServer) -> None:
        async with client:
            await client.ask(ask("one"))
            server.close()
            with pytest.raises(ItemError, match="connection"):
                await client.ask(ask("two"))

    with OpenAIServer() as server:
        asyncio.run(scenario(LLMClient(settings(server, retries=1), None, cache, pacing=QUICK), server))


@pytest.mark.parametrize("changed", [{"base_url": None}, {"model": ""}])
def test_without_an_endpoint_the_ways_out_are_named(cache: ResponseCache, changed: dict[str, Any]) -> None:
    fields = {"base_url": "http://127.0.0.1:1/v1", "model": "tiny", **changed}
    with pytest.raises(EndpointError) as caught:
        LLMClient(EndpointSettings.model_validate(fields), None, cache)
    for way in ("generate.llm.base_url", "local-llm", "generate.recording"):
        assert way in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8080/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(cache: ResponseCache, url: str) -> None:
    with pytest.raises(EndpointError, match="address"):
        LLMClient(EndpointSettings(base_url=url, model="tiny"), None, cache)


def test_a_password_in_the_address_is_not_shown(cache: ResponseCache) -> None:
    with OpenAIServer(models=frozenset()) as server:
        url = server.url.replace("//", "//user:hunter2@")
        error = outcome(LLMClient(settings(server, base_url=url), None, cache), ask())
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("key", ["sk-secret\nX-Evil: 1", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(cache: ResponseCache, key: str) -> None:
    with OpenAIServer() as server, pytest.raises(EndpointError) as caught:
        LLMClient(settings(server), key, cache)
    assert key not in str(caught.value)


# Dialects


def test_a_server_without_json_schema_gets_it_in_the_prompt_and_this_is_said_once(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: LLMClient) -> list[Answer]:
        async with client:
            at_once = await asyncio.gather(*(client.ask(ask(f"ask {n}")) for n in range(4)))
            return [*at_once, await client.ask(ask("later"))]

    with OpenAIServer(json_schema=False) as server:
        client = LLMClient(settings(server, retries=0), None, cache)
        answers = asyncio.run(scenario(client))
        last = server.calls[-1]
        assert len(server.calls) == 4 + 5  # the first four were all under way when it turned out
    assert len(answers) == 5
    assert last.body["response_format"] == {"type": "json_object"}
    assert '"additionalProperties": false' in last.body["messages"][0]["content"]
    assert [record.levelname for record in caplog.records if "rejects this form" in record.message] == ["WARNING"]
    # Another server that does know it finds the same replies.
    with OpenAIServer() as other:
        run(LLMClient(settings(other), None, cache), ask("later"))
        assert other.calls == []


def test_a_model_that_wants_max_completion_tokens_gets_them(cache: ResponseCache) -> None:
    with OpenAIServer(max_tokens=False, json_schema=False) as server:
        run(LLMClient(settings(server, max_tokens=99), None, cache), ask())
        body = server.calls[-1].body
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body


# Budget


def test_the_ceiling_stops_a_call_before_it_is_sent(cache: ResponseCache) -> None:
    # A reply may have 100 tokens at 1000 USD a million: 0.10 each; replies have 4 tokens, so 0.004 in truth.
    with OpenAIServer(replies=lambda call: '{"words": "a", "score": 9}') as server:
        budget = Budget(0.107)
        client = LLMClient(settings(server, max_tokens=100, price_out=1000.0), None, cache, budget=budget)

        async def scenario() -> list[Answer | BaseException]:
            async with client:
                return await asyncio.gather(*(client.ask(ask(str(n))) for n in range(5)), return_exceptions=True)

        results = asyncio.run(scenario())
        assert server.completions == 2  # 0, then 0.004 spent; at 0.008 another 0.1 would pass 0.107
    assert [isinstance(result, GateError) for result in results].count(True) == 3
    assert budget.spent_usd == pytest.approx(0.008)
    assert len(cache) == 2


def test_generator_and_judge_share_a_ceiling(cache: ResponseCache) -> None:
    with OpenAIServer(replies=lambda call: '{"words": "a", "score": 9}') as server:
        budget = Budget(0.1)
        dear = settings(server, max_tokens=100, price_out=1000.0)
        run(LLMClient(dear, None, cache, budget=budget), ask("generate"))
        error = outcome(LLMClient(dear, None, cache, budget=budget), ask("judge"))
        assert isinstance(error, GateError)
        assert run(LLMClient(dear, None, cache, budget=budget), ask("generate"))  # cached: costs nothing


# Replay


def test_a_recording_answers_without_any_endpoint(cache: ResponseCache, tmp_path: Path) -> None:
    with OpenAIServer() as server:
        recorded = run(LLMClient(settings(server), None, cache), ask("a b c"), ask("d e f"))
    cache.export(tmp_path / "r.gz", {"model": "tiny"})
    elsewhere = ResponseCache(tmp_path / "elsewhere.sqlite")
    elsewhere.import_recording(tmp_path / "r.gz")
    client = LLMClient(settings(None), None, elsewhere, replay=True)
    assert run(client, ask("a b c"), ask("d e f")) == recorded
    assert client.usage == Usage(cached_calls=2)


@pytest.mark.parametrize(
    ("changed", "one", "difference"),
    [
        ({}, ask("other words"), "the messages"),
        ({"model": "big"}, ask(), "the model: big"),
        ({"temperature": 0.0}, ask(), "the parameters"),
        ({}, ask("x", prompt="judge"), "no reply to this prompt at all"),
        ({}, Ask("questions", ask().messages, type("Other", (Answer,), {"__doc__": "Other."})), "the JSON schema"),
    ],
)
def test_a_miss_names_the_prompt_what_differs_and_the_ways_out(
    cache: ResponseCache, changed: dict[str, Any], one: Ask[Answer], difference: str
) -> None:
    with OpenAIServer() as server:
        run(LLMClient(settings(server), None, cache), ask())
        # Even with an endpoint configured, a replay never calls it.
        error = outcome(LLMClient(settings(server, **changed), None, cache, replay=True), one)
        assert len(server.calls) == 1
    assert isinstance(error, ReplayMiss)
    assert error.prompt == one.prompt
    for part in (one.prompt, difference, "generate.llm.base_url", "local-llm", "record again"):
        assert part in str(error)


def test_a_miss_names_each_recorded_model_once(cache: ResponseCache) -> None:
    schemas = [type(name, (Answer,), {"__doc__": f"{name}."}) for name in ("Other", "Third")]
    asks = [Ask("questions", ask().messages, schema) for schema in schemas]
    with OpenAIServer() as server:
        run(LLMClient(settings(server), None, cache), *asks)
        error = outcome(LLMClient(settings(server), None, cache, replay=True), ask("x"))
    assert str(error).count("temperature") == 1


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
        await client.ask(ask(f"ask {n}"))
        seen.append(client.limit)

    async with client:
        await asyncio.gather(*(one(n) for n in range(number)))
    return seen


def test_as_many_requests_are_under_way_as_configured_and_no_more(cache: ResponseCache) -> None:
    three = threading.Barrier(3)

    def together(call: Call) -> str:
        three.wait(timeout=120)
        return built_reply(call)

    with OpenAIServer(replies=together) as server:
        asyncio.run(_limits(LLMClient(settings(server, concurrency=3), None, cache), 12))
        assert server.busiest == 3
