"""Runs the asynchronous calls of a stage to their end, in a script and in a notebook alike."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from embedtune.core.signals import interrupt

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result.

    A notebook executes its cells inside an event loop, where `asyncio.run` refuses to work. There the coroutine
    gets a thread with a loop of its own. An interrupt (Ctrl-C, the stop button) cancels it, as `asyncio.run` does,
    and SIGTERM does the same: an exception raised in the middle of the loop would show the state of every call.

    Args:
        work: The coroutine.

    Raises:
        KeyboardInterrupt: It was cancelled by a signal.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _here(work)
    return _in_a_thread(work)


def _here(work: Coroutine[Any, Any, T]) -> T:
    ended = threading.Event()

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

        def end(signum: int, frame: FrameType | None) -> None:
            if ended.is_set():  # it takes too long for whoever sent the first one
                raise KeyboardInterrupt
            ended.set()
            loop.call_soon_threadsafe(task.cancel)

        with _handled(signal.SIGTERM, end):
            return await task

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if ended.is_set():
            raise KeyboardInterrupt from None
        raise


@contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle a signal for a while, where the process does so itself: another program's handler is left alone."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not interrupt:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, interrupt)


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
