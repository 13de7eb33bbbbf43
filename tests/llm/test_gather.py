"""Many requests at once: order, limits, failures, cancellation."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from embedtune.core.errors import GateError, LLMEndpointError
from embedtune.llm.budget import Budget
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.errors import ItemError, ReplayMiss
from embedtune.llm.gather import gather_replies
from tests.support.gathering import Echo, Recorded, client_for, echo, gather, requests
from tests.support.openai_replies import Call, always, now_and_then
from tests.support.openai_server import OpenAIServer

MIXED = ("429", "500", "503", "short_body", "invalid_json", "truncated", "wrong_schema", "fenced", "not_json")


def test_replies_are_in_the_order_of_the_requests_whatever_fails_on_the_way(cache: ResponseCache) -> None:
    task = Recorded()
    with OpenAIServer(replies=echo, faults=now_and_then(0.6, MIXED, seed=1)) as server:
        client = client_for(server, cache, price_in=1.0)
        results = gather(client, 40, task=task)
        assert server.faulted.total() > 10
        assert max(server.answered.values()) == 1
    assert results == [Echo(text=f"number {n}") for n in range(40)]
    assert task.advanced == 40
    assert "$0.00" in task.notes[-1]
    assert f"{client.usage.calls} calls" in task.notes[-1]


def test_no_requests_are_no_calls(cache: ResponseCache) -> None:
    with OpenAIServer() as server:
        assert gather(client_for(server, cache), 0) == []


def test_a_failed_item_is_replaced_by_its_error_and_the_others_continue(cache: ResponseCache) -> None:
    def poison(call: Call) -> str | None:
        return "wrong_schema" if call.original[-1]["content"] == "number 3" else None

    task = Recorded()
    with OpenAIServer(replies=echo, faults=poison) as server:
        results = gather(client_for(server, cache), 10, task=task)
    failed = [n for n, result in enumerate(results) if isinstance(result, ItemError)]
    assert failed == [3]
    assert task.advanced == 10
    assert "1 failed" in task.notes[-1]


def test_too_many_failures_stop_the_run_after_twenty_items_with_the_most_frequent_reasons(
    cache: ResponseCache,
) -> None:
    def mostly(call: Call) -> str | None:
        number = int(call.original[-1]["content"].split()[1])
        return "refusal" if number % 4 == 0 else "wrong_schema" if number % 4 == 1 else None

    with OpenAIServer(replies=echo, faults=mostly) as server:
        with pytest.raises(GateError) as caught:
            gather(client_for(server, cache, concurrency=1), 1000)
        assert len({call.original[-1]["content"] for call in server.calls}) == 20
    text = str(caught.value)
    assert "10 of the first 20" in text
    assert "5 x refused, for example: I cannot help with that." in text
    assert "5 x wrong schema, for example: text: Field required" in text
    assert "generate.max_failed_share" in text
    assert len(cache) == 10  # the usable replies are stored


@pytest.mark.parametrize(("share", "stops"), [(0.3, False), (0.29, True)])
def test_the_share_of_failures_among_few_items_is_checked_at_the_end(
    cache: ResponseCache, share: float, stops: bool
) -> None:
    def some(call: Call) -> str | None:
        return "refusal" if int(call.original[-1]["content"].split()[1]) < 3 else None

    with OpenAIServer(replies=echo, faults=some) as server:
        client = client_for(server, cache, concurrency=1)
        if stops:
            with pytest.raises(GateError, match="3 of the first 10"):
                gather(client, 10, share)
        else:
            assert len(gather(client, 10, share)) == 10
        assert len(server.calls) == 10


@pytest.mark.parametrize(
    ("server_says", "client_has", "error"),
    [
        ({"api_key": "another"}, {}, LLMEndpointError),
        ({"models": frozenset({"big"})}, {}, LLMEndpointError),
        ({}, {"price_out": 1e6, "budget": 1.0}, GateError),
        ({}, {"replay": True}, ReplayMiss),
    ],
)
def test_an_error_that_concerns_the_whole_run_stops_it_at_once(
    cache: ResponseCache, server_says: dict[str, Any], client_has: dict[str, Any], error: type[Exception]
) -> None:
    if "budget" in client_has:
        client_has = {**client_has, "budget": Budget(client_has["budget"])}
    with OpenAIServer(**server_says) as server:
        with pytest.raises(error):
            gather(client_for(server, cache, **client_has), 500)
        assert len(server.calls) <= 4


def test_the_remaining_requests_are_cancelled_when_one_stops_the_run(cache: ResponseCache) -> None:
    async def scenario(client: LLMClient) -> int:
        async with client:
            with pytest.raises(GateError):
                await gather_replies(client, requests(200), Recorded(), 0.0)
            return len(asyncio.all_tasks()) - 1

    with OpenAIServer(faults=always("refusal")) as server:
        assert asyncio.run(scenario(client_for(server, cache))) == 0
        assert len(server.calls) <= 20 + 4


def test_an_interrupted_run_has_stored_every_reply_it_received(cache: ResponseCache) -> None:
    def hang(call: Call) -> str | None:
        return "stall" if call.index >= 12 else None

    async def interrupted(client: LLMClient, task: Recorded) -> None:
        async with client:
            run = asyncio.create_task(gather_replies(client, requests(40), task, 0.2))
            while task.advanced < 12:
                await asyncio.sleep(0.005)
            run.cancel()  # what asyncio.run does on Ctrl-C
            with pytest.raises(asyncio.CancelledError):
                await run

    with OpenAIServer(replies=echo, faults=hang) as server:
        asyncio.run(interrupted(client_for(server, cache), Recorded()))
        assert len(cache) == server.completions == 12
    with OpenAIServer(replies=echo) as server:
        client = client_for(server, cache)
        assert gather(client, 40) == [Echo(text=f"number {n}") for n in range(40)]
        assert server.completions == 28
    assert client.usage.cached_calls == 12


def test_there_are_never_more_workers_than_the_concurrency(cache: ResponseCache) -> None:
    class Counting(Recorded):
        most = 0

        def advance(self, n: int = 1) -> None:
            super().advance(n)
            names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
            self.most = max(self.most, names.count("_work"))

    task = Counting()
    with OpenAIServer(replies=echo) as server:
        gather(client_for(server, cache, concurrency=3), 20, task=task)
    assert task.most == 3


def test_items_that_failed_only_because_the_server_did_are_sent_a_second_time(cache: ResponseCache) -> None:
    def flaky(call: Call) -> str | None:
        return "500" if call.original[-1]["content"] in ("number 3", "number 4") and call.attempt < 2 else None

    task = Recorded()
    with OpenAIServer(replies=echo, faults=flaky) as server:
        client = client_for(server, cache, retries=1, concurrency=1, outage_s=0)
        assert gather(client, 10, share=0.0, task=task) == [Echo(text=f"number {n}") for n in range(10)]
    assert task.advanced == 10
    assert client.usage.unanswered == 0


def test_items_that_fail_a_second_time_are_counted_as_unanswered(cache: ResponseCache) -> None:
    def broken(call: Call) -> str | None:
        return {"number 3": "500", "number 4": "refusal"}.get(call.original[-1]["content"])

    with OpenAIServer(replies=echo, faults=broken) as server:
        client = client_for(server, cache, retries=0, concurrency=1, outage_s=0)
        results = gather(client, 10)
    failed = {n: result.kind for n, result in enumerate(results) if isinstance(result, ItemError)}
    assert failed == {3: "HTTP 500", 4: "refused"}
    assert client.usage.unanswered == 1


def test_a_server_that_restarts_loses_no_item(cache: ResponseCache, caplog: pytest.LogCaptureFixture) -> None:
    def restarting(call: Call) -> str | None:
        return "503" if 10 <= call.index < 60 else None

    with OpenAIServer(replies=echo, faults=restarting) as server:
        results = gather(client_for(server, cache, retries=1), 30, share=0.0)
    assert results == [Echo(text=f"number {n}") for n in range(30)]
    said = [record.message for record in caplog.records if "answer" in record.message]
    assert ["does not answer" in said[0], "answers again" in said[-1]] == [True, True]


def test_a_server_that_never_answered_anything_stops_the_run_after_few_items(cache: ResponseCache) -> None:
    with OpenAIServer(faults=always("503")) as server:
        with pytest.raises(GateError, match="HTTP 503"):
            gather(client_for(server, cache, retries=0), 500)
        assert len(server.calls) < 30


def test_passages_that_a_server_cannot_answer_are_no_outage_even_one_after_the_other(cache: ResponseCache) -> None:
    def poison(call: Call) -> str | None:
        return "503" if call.original[-1]["content"] in ("number 3", "number 4", "number 5") else None

    with OpenAIServer(replies=echo, faults=poison) as server:
        client = client_for(server, cache, retries=1, concurrency=1, outage_s=0.001)
        results = gather(client, 10, share=0.5)
        asked_again = Counter(call.original[-1]["content"] for call in server.calls if poison(call) is None)
    errors = [result for result in results if isinstance(result, ItemError)]  # no LLMEndpointError was raised
    assert [error.transient for error in errors] == [True] * 3
    assert client.usage.unanswered == 3
    # Before each of them is given up, in both passes, the last one that was answered shows that the server works.
    assert {text: number - 1 for text, number in asked_again.items() if number > 1} == {
        "number 2": 3,
        "number 9": 3,
    }
