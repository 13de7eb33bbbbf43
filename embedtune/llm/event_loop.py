"""Runs the asynchronous calls of a stage to their end, in a script and in a notebook alike."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result.

    A notebook executes its cells inside an event loop, where `asyncio.run` refuses to work. There the coroutine
    gets a thread with a loop of its own. An interrupt (Ctrl-C, the stop button) cancels it, as `asyncio.run` does.

    Args:
        work: The coroutine.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _in_a_thread(work)


def _in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def cancellable() -> T:
        task = asyncio.ensure_future(work)
        started.set_result((asyncio.get_running_loop(), task))
        return await task

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(asyncio.run, cancellable()).result()
        except BaseException:  # of the coroutine, or an interrupt, which hits this thread at any moment
            started.add_done_callback(_cancel)
            raise


def _cancel(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]]) -> None:
    loop, task = started.result()
    with suppress(RuntimeError):  # the loop is closed: the coroutine has ended
        loop.call_soon_threadsafe(task.cancel)
