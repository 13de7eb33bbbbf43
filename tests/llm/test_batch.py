"""Batches through OpenAI's Batch API: half the price, the same replies, never submitted twice."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from embedtune.core.errors import GateError, LLMEndpointError
from embedtune.core.progress import SilentProgress
from embedtune.llm import batch
from embedtune.llm.budget import Budget
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.errors import ItemError
from embedtune.llm.gather import gather_replies
from embedtune.llm.ledger import Ledger
from tests.support.llm_client import KEY, QUICK, Answer, request, settings
from tests.support.openai_batches import Batches
from tests.support.openai_providers import openai_reasoning
from tests.support.openai_replies import Call, built_reply
from tests.support.openai_server import OpenAIServer

REQUESTS = [request(f"number {number}") for number in range(6)]


def replies(
    server: OpenAIServer, cache: ResponseCache, budget: Budget | None = None, **changed: Any
) -> tuple[list[Answer | ItemError], LLMClient]:
    """Send REQUESTS as a run does, with a client of its own."""
    fields = {"batch": "api", "price_in": 0.0, "price_out": 1000.0, "max_tokens": 100, **changed}
    client = LLMClient(settings(server, **fields), KEY, cache, pacing=QUICK, budget=budget)

    async def scenario() -> list[Answer | ItemError]:
        async with client:
            with SilentProgress().task("x", len(REQUESTS), "calls") as task:
                return await gather_replies(client, REQUESTS, task, 0.9)

    return asyncio.run(scenario()), client


def test_a_batch_gives_the_replies_of_live_calls_at_half_the_price(cache: ResponseCache, tmp_path: Path) -> None:
    with OpenAIServer(batches=Batches(), api_key=KEY) as server:
        budget = Budget(None)
        found, client = replies(server, cache, budget)
        (call,) = server.calls  # the first request is live
        (remote,) = server.batches.batches.values()
        assert remote["request_counts"] == {"total": 5, "completed": 5, "failed": 0}
    with OpenAIServer() as server, ResponseCache(tmp_path / "live.sqlite") as other:
        live, paid = replies(server, other, batch="none")
    assert found == live
    assert (client.usage.calls, client.usage.cached_calls) == (6, 0)
    assert client.usage.completion_tokens == paid.usage.completion_tokens
    first = len(built_reply(call).split()) / 1000  # a token is a word here
    assert client.usage.cost_usd == pytest.approx(first + (paid.usage.cost_usd - first) / 2)
    assert budget.spent_usd == pytest.approx(client.usage.cost_usd)


def test_replies_of_a_batch_are_found_later_under_the_keys_of_live_calls(cache: ResponseCache) -> None:
    with OpenAIServer(batches=Batches()) as server:
        found, _ = replies(server, cache)
        again, client = replies(server, cache, batch="none")
        assert len(server.calls) == 1
    assert again == found
    assert client.usage.cached_calls == 6


def test_a_batch_is_written_in_the_form_that_the_first_call_has_learned(cache: ResponseCache) -> None:
    with OpenAIServer(batches=Batches(), provider=openai_reasoning) as server:
        replies(server, cache, extra={"reasoning_effort": "low"})
        (file, *_) = server.batches.files.values()
    body = json.loads(file.splitlines()[0])["body"]
    assert body["max_completion_tokens"] == 100
    assert body["reasoning_effort"] == "low"
    assert not {"max_tokens", "temperature", "top_p", "extra_body"} & set(body)
    assert body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("fault", ["400", "invalid_json", "truncated", "refusal"])
def test_what_fails_in_a_batch_is_asked_for_in_a_live_call(cache: ResponseCache, fault: str) -> None:
    def third(call: Any) -> str | None:
        return fault if call.index == 2 else None

    with OpenAIServer(batches=Batches(faults=third)) as server:
        found, _ = replies(server, cache)
        assert len(server.calls) == 2
        assert len(server.batches.batches) == 1
    assert all(isinstance(reply, Answer) for reply in found)


def test_what_expired_is_submitted_again(cache: ResponseCache) -> None:
    with OpenAIServer(batches=Batches(ends=("expired", "completed"), in_time=2)) as server:
        found, _ = replies(server, cache)
        assert [one["request_counts"]["total"] for one in server.batches.batches.values()] == [5, 3]
        assert len(server.calls) == 1
    assert all(isinstance(reply, Answer) for reply in found)


@pytest.mark.parametrize(
    ("ends", "says"),
    [("failed", "Enqueued token limit reached"), ("cancelled", "was cancelled"), ("expired", "in its time")],
)
def test_a_batch_that_ends_without_replies_stops_the_run_with_its_words(
    cache: ResponseCache, ends: str, says: str
) -> None:
    with OpenAIServer(batches=Batches(ends=(ends, "completed"))) as server:
        budget = Budget(100.0)
        with pytest.raises(LLMEndpointError, match=says):
            replies(server, cache, budget)
        room = budget.room_usd
        assert room is not None
        assert room > 99.9  # nothing is reserved any longer
        found, _ = replies(server, cache, budget)
        assert len(server.batches.batches) == 2
    assert all(isinstance(reply, Answer) for reply in found)


def test_a_server_without_a_batch_api_is_named(cache: ResponseCache) -> None:
    with OpenAIServer() as server, pytest.raises(LLMEndpointError, match="set batch to none"):
        replies(server, cache)


# Restarts


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_restarted_command_goes_on_with_its_batch(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(cache.path, "chunks")
    with OpenAIServer(batches=Batches()) as server:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(batch._Desk, "_finish", interrupted)
            replies(server, cache, Budget(10.0, ledger))
        assert ledger.balance().reserved_usd == pytest.approx(5 * 0.5 * 0.1)
        found, client = replies(server, cache, Budget(10.0, Ledger(cache.path, "chunks")))
        assert len(server.batches.batches) == 1
        assert max(server.batches.asked.values()) == 1
        assert len(server.calls) == 1
    assert all(isinstance(reply, Answer) for reply in found)
    assert client.usage.calls == 5
    assert ledger.balance().reserved_usd == 0.0
    assert ledger.balance().lost_usd == 0.0


def test_a_batch_whose_answer_was_lost_is_found_by_its_name(cache: ResponseCache) -> None:
    with OpenAIServer(batches=Batches(lose_answer=True)) as server:
        with pytest.raises(LLMEndpointError, match="looks for the batch first"):
            replies(server, cache)
        replies(server, cache)
        assert len(server.batches.batches) == 1
        assert max(server.batches.asked.values()) == 1


def test_a_command_that_was_killed_before_it_submitted_starts_over(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(cache.path, "chunks")
    with OpenAIServer(batches=Batches()) as server:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("embedtune.llm.batch_api.BatchApi.submit", interrupted)
            replies(server, cache, Budget(10.0, ledger))
        replies(server, cache, Budget(10.0, ledger))
        assert len(server.batches.batches) == 1
    assert ledger.balance().reserved_usd == 0.0


# Limits


def test_a_batch_has_no_more_requests_and_bytes_than_the_provider_allows(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_REQUESTS", 2)
    with OpenAIServer(batches=Batches()) as server:
        replies(server, cache)
        assert [one["request_counts"]["total"] for one in server.batches.batches.values()] == [2, 2, 1]


def test_as_much_as_the_ceiling_allows_is_submitted_at_a_time(cache: ResponseCache) -> None:
    # A reply of up to 100 tokens is reserved at 0.1 USD live and 0.05 USD in a batch; it costs below 0.015.
    with OpenAIServer(batches=Batches()) as server:
        budget = Budget(0.18)
        found, client = replies(server, cache, budget)
        totals = [one["request_counts"]["total"] for one in server.batches.batches.values()]
    assert sum(totals) == 5
    assert max(totals) == 3
    assert all(isinstance(reply, Answer) for reply in found)
    assert budget.spent_usd == pytest.approx(client.usage.cost_usd)


def test_what_the_ceiling_does_not_allow_is_not_submitted(cache: ResponseCache) -> None:
    def long(call: Call) -> str:
        return json.dumps({"words": "kelp " * 80, "score": 5})

    with OpenAIServer(batches=Batches(), replies=long) as server:
        # After the live call there are 0.02 USD left, and a request in a batch may cost 0.05.
        with pytest.raises(GateError, match="cost ceiling"):
            replies(server, cache, Budget(0.105))
        assert server.batches.batches == {}
