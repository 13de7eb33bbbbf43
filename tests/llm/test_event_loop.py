"""A stage's calls run to their end, whether or not an event loop runs already, as in a notebook."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from embedtune.core.signals import interrupt, interrupt_on_sigterm
from embedtune.llm.cache import ResponseCache
from embedtune.llm.event_loop import run_to_end


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_the_result_is_returned() -> None:
    assert run_to_end(doubled(21)) == 42


def test_the_result_is_returned_inside_an_event_loop() -> None:
    async def cell() -> int:
        return run_to_end(doubled(21))

    assert asyncio.run(cell()) == 42


def test_an_error_is_raised_inside_an_event_loop() -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def cell() -> None:
        run_to_end(fails())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(cell())


def test_an_interrupt_inside_an_event_loop_cancels_the_calls() -> None:
    waiting, ended = threading.Event(), threading.Event()

    async def waits() -> None:
        waiting.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def cell() -> None:
        run_to_end(waits())

    def interrupt() -> None:
        waiting.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    loop = asyncio.new_event_loop()  # as a notebook's, without asyncio.run's own handler of the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with &
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert ended.wait(10)


def test_sigterm_cancels_the_calls_without_a_traceback_of_each(caplog: pytest.LogCaptureFixture) -> None:
    waiting, ended = threading.Event(), []

    async def call(number: int) -> None:
        try:
            waiting.set()
            while True:  # busy, so that the signal arrives in the middle of a call
                await asyncio.sleep(0)
        finally:
            ended.append(number)

    async def calls() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(call(number))

    def terminate() -> None:
        waiting.wait(10)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    interrupt_on_sigterm()
    try:
        threading.Thread(target=terminate).start()
        with pytest.raises(KeyboardInterrupt):
            run_to_end(calls())
        assert signal.getsignal(signal.SIGTERM) is interrupt  # as before
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sorted(ended) == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_the_cache_of_replies_is_used_from_there(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "replies.sqlite") as cache:

        async def counts() -> int:
            return len(cache)

        async def cell() -> int:
            return run_to_end(counts())

        assert asyncio.run(cell()) == 0
