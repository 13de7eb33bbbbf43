"""Runs the asynchronous calls of a stage to their end, in a script and in a notebook alike."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
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
        result = pool.submit(asyncio.run, cancellable())
        try:
            return result.result()
        except BaseException:
            if not result.done():  # the interrupt hit this thread, not the coroutine
                loop, task = started.result()
                loop.call_soon_threadsafe(task.cancel)
            raise
