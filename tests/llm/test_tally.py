"""What is shown about calls in progress, and what is said about an LLM endpoint that does not answer."""

import asyncio
import logging

import pytest

from embedtune.llm import gather as gathering
from embedtune.llm import tally as tallying
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.gather import gather_replies
from tests.support.gathering import Recorded, client_for, echo, gather, requests
from tests.support.openai_server import OpenAIServer


def test_calls_are_shown_while_they_wait_and_a_silent_server_is_explained_once(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gathering, "SHOWN_EVERY_S", 0.02)
    monkeypatch.setattr(tallying, "PATIENT_S", 0.1)
    task = Recorded()
    with OpenAIServer(replies=echo, delay_s=0.6) as server:
        gather(client_for(server, cache), 4, task=task)
    assert task.notes[0] == "4 in flight, 0 calls answered"
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "has answered none of 4 calls" in said
    assert "timeout_s" in said and "concurrency (4)" in said


def test_a_server_that_answers_is_not_explained(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "PATIENT_S", 0.0)
    with OpenAIServer(replies=echo) as server:
        client = client_for(server, cache)
        task = Recorded()
        gather(client, 3, task=task)
    assert "tokens, price unknown" in task.notes[-1]
    assert "$" not in task.notes[-1]


def test_a_free_llm_has_no_unknown_price(cache: ResponseCache) -> None:
    task = Recorded()
    with OpenAIServer(replies=echo) as server:
        gather(client_for(server, cache, price_in=0.0, price_out=0.0), 3, task=task)
    assert "unknown" not in task.notes[-1]


def test_replies_of_an_earlier_run_are_skipped_not_done(cache: ResponseCache) -> None:
    with OpenAIServer(replies=echo) as server:
        gather(client_for(server, cache), 6)
    with OpenAIServer(replies=echo) as server:
        task = Recorded()
        gather(client_for(server, cache), 10, task=task)
    assert (task.skipped, task.advanced) == (6, 4)


def test_time_outs_and_repetitions_are_counted(cache: ResponseCache) -> None:
    task = Recorded()
    with OpenAIServer(
        replies=echo, faults=lambda call: "stall" if call.attempt == 0 and call.index == 1 else None
    ) as server:
        client = client_for(server, cache, timeout_s=0.5, concurrency=1)

        async def scenario(client: LLMClient) -> None:
            async with client:
                await gather_replies(client, requests(3), task, 0.2)

        asyncio.run(scenario(client))
    assert "1 timed out, 1 sent again" in task.notes[-1]
