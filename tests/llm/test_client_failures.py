"""Failures of the LLM client: which are retried, which fail one request, and which stop the run."""

import asyncio
import logging
from typing import Any

import pytest

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.budget import Budget
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.errors import ItemError
from tests.support.llm_client import KEY, QUICK, outcome, request, run, settings
from tests.support.openai_replies import Call, always, script
from tests.support.openai_server import OpenAIServer

# Retries


@pytest.mark.parametrize(
    "fault", ["429", "429-date", "500", "503", "short_body", "html", "not_json", "no_choices"]
)
def test_a_temporary_failure_is_repeated(cache: ResponseCache, fault: str) -> None:
    with OpenAIServer(faults=script(fault, fault)) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        run(client, request())
        assert (len(server.calls), server.completions) == (3, 1)
    assert client.usage.calls == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("429", "HTTP 429"), ("500", "HTTP 500"), ("503", "HTTP 503"), ("html", "not a completion")],
)
def test_after_the_last_attempt_the_item_fails(cache: ResponseCache, fault: str, kind: str) -> None:
    with OpenAIServer(faults=always(fault)) as server:
        error = outcome(LLMClient(settings(server, retries=2), None, cache, pacing=QUICK), request())
        assert len(server.calls) == 3
    assert isinstance(error, ItemError)
    assert error.kind == kind
    assert "3 attempts" in error.detail


def test_a_request_that_the_server_rejects_fails_alone_and_at_once(cache: ResponseCache) -> None:
    with OpenAIServer(faults=script("400")) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        error = outcome(client, request())
        assert len(server.calls) == 1
    assert isinstance(error, ItemError)
    assert (error.kind, error.detail) == ("context too long", "the prompt is too long for this model")


@pytest.mark.parametrize("fault", ["stall", "trickle"])
def test_silence_and_a_trickle_of_bytes_end_at_the_timeout_and_are_repeated(
    cache: ResponseCache, fault: str
) -> None:
    with OpenAIServer(faults=script(fault)) as server:
        run(LLMClient(settings(server, timeout_s=1.0, retries=9), None, cache, pacing=QUICK), request())
        assert len(server.calls) >= 2
    with OpenAIServer(faults=always(fault)) as server:
        error = outcome(
            LLMClient(settings(server, timeout_s=1.0, retries=1), None, cache, pacing=QUICK), request("more")
        )
        assert len(server.calls) == 2
    assert isinstance(error, ItemError)
    assert (error.kind, error.detail) == ("timeout", "no reply within 1 s (2 attempts)")


def test_the_client_waits_as_long_as_the_server_says(cache: ResponseCache) -> None:
    with OpenAIServer(faults=script("429"), retry_after_s=0.2) as server:
        started = asyncio.run(_seconds(LLMClient(settings(server), None, cache, pacing=QUICK)))
    assert started >= 0.2


async def _seconds(client: LLMClient) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with client:
        await client.ask(request())
    return loop.time() - started


def test_a_wait_that_is_too_long_stops_the_run_at_once(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("429"), retry_after_s=7200) as server:
        error = outcome(LLMClient(settings(server), None, cache, pacing=QUICK), request())
        assert len(server.calls) == 1
    assert isinstance(error, LLMEndpointError)
    assert "7200 s" in str(error)


# LLM endpoints that cannot be used


def test_a_wrong_key_stops_the_run_and_is_never_shown(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(api_key="another") as server:  # its error message repeats the key
        client = LLMClient(settings(server), KEY, cache)
        error = outcome(client, request())
        assert len(server.calls) == 1
    assert isinstance(error, LLMEndpointError)
    assert "OPENAI_API_KEY" in str(error)
    assert "Incorrect API key provided: ***" in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("embedtune"))
    for shown in (str(error), repr(error), repr(client), ours):
        assert KEY not in shown


def test_an_unknown_model_stops_the_run(cache: ResponseCache) -> None:
    with OpenAIServer(models=frozenset({"big"})) as server:
        error = outcome(LLMClient(settings(server), None, cache), request())
        assert len(server.calls) == 1
    assert isinstance(error, LLMEndpointError)
    assert "tiny" in str(error)
    assert "generate.llm.model" in str(error)


def test_a_server_that_never_answers_is_unreachable(cache: ResponseCache) -> None:
    server = OpenAIServer()
    server.close()
    error = outcome(LLMClient(settings(server, retries=1), None, cache, pacing=QUICK), request())
    assert isinstance(error, LLMEndpointError)
    assert "cannot be reached" in str(error)
    assert server.url in str(error)


@pytest.mark.parametrize(
    ("outage_s", "error", "words"),
    [(0.0, ItemError, "connection"), (0.3, LLMEndpointError, "run the same command")],
)
def test_a_server_that_stops_later_is_waited_for(
    cache: ResponseCache, outage_s: float, error: type[Exception], words: str
) -> None:
    async def scenario(client: LLMClient, server: OpenAIServer) -> None:
        async with client:
            await client.ask(request("one"))
            server.close()
            with pytest.raises(error, match=words):
                await client.ask(request("two"))

    with OpenAIServer() as server:
        client = LLMClient(settings(server, retries=1, outage_s=outage_s), None, cache, pacing=QUICK)
        asyncio.run(scenario(client, server))


@pytest.mark.parametrize("changed", [{"base_url": None}, {"model": ""}])
def test_without_an_llm_endpoint_the_error_names_the_ways_out(
    cache: ResponseCache, changed: dict[str, Any]
) -> None:
    fields = {"base_url": "http://127.0.0.1:1/v1", "model": "tiny", **changed}
    with pytest.raises(LLMEndpointError) as caught:
        LLMClient(LLMEndpointSettings.model_validate(fields), None, cache)
    for way in ("generate.llm.base_url", "local-llm", "generate.recording"):
        assert way in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8080/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_invalid_base_url_is_refused_before_anything_is_sent(cache: ResponseCache, url: str) -> None:
    with pytest.raises(LLMEndpointError, match="not a valid URL"):
        LLMClient(LLMEndpointSettings(base_url=url, model="tiny"), None, cache)


def test_a_password_in_the_base_url_is_not_shown(cache: ResponseCache) -> None:
    with OpenAIServer(models=frozenset()) as server:
        url = server.url.replace("//", "//user:hunter2@")
        error = outcome(LLMClient(settings(server, base_url=url), None, cache), request())
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("key", ["sk-secret\nX-Evil: 1", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(cache: ResponseCache, key: str) -> None:
    with OpenAIServer() as server, pytest.raises(LLMEndpointError) as caught:
        LLMClient(settings(server), key, cache)
    assert key not in str(caught.value)


# What failures cost


@pytest.mark.parametrize(
    ("fault", "cost"),
    [
        ("503", 0.0),  # an error is not charged
        ("stall", 0.1),  # the reply may have been written up to max_tokens
        ("short_body", 0.004),  # it was written, like the most expensive other: four words
    ],
)
def test_an_attempt_without_a_reply_is_booked_as_what_it_may_have_cost(
    cache: ResponseCache, fault: str, cost: float
) -> None:
    def four_words(call: Call) -> str:
        return '{"words": "w", "score": 5}'

    with OpenAIServer(faults=lambda call: fault if call.index == 1 else None, replies=four_words) as server:
        budget = Budget(None)
        priced = settings(server, max_tokens=100, price_out=1000.0, timeout_s=2.0, retries=0, outage_s=0)
        client = LLMClient(priced, None, cache, pacing=QUICK, budget=budget)

        async def scenario() -> None:
            async with client:
                await client.ask(request("first"))
                assert budget.spent_usd == pytest.approx(0.004)
                with pytest.raises(ItemError):
                    await client.ask(request("second"))

        asyncio.run(scenario())
    assert budget.spent_usd == pytest.approx(0.004 + cost)


def test_a_server_that_is_not_there_costs_nothing(cache: ResponseCache) -> None:
    budget = Budget(None)
    client = LLMClient(
        settings(None, base_url="http://127.0.0.1:9/v1", price_out=1000.0, retries=1),
        *(None, cache),
        pacing=QUICK,
        budget=budget,
    )
    outcome(client, request())
    assert budget.spent_usd == 0.0
