"""Which work is admitted, whose turn it is, and what the estimates learn."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.rate import Lengths, Rate
from embedtune.serve.gateway.turns import Flow, Turns

FAR = 1e12
BULK, OTHER, QUERY = ("a", False), ("b", False), ("a", True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


class Triton:
    """Holds each part until it is let go, and remembers the order in which they came."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.held: dict[str, asyncio.Event] = {}

    async def part(self, name: str, flow: Flow, tokens: int, until: float = FAR) -> None:
        self.held[name] = asyncio.Event()
        async with self.turns.turn(flow, tokens, until):
            self.order.append(name)
            await self.held[name].wait()

    async def start(self, *parts: tuple[str, Flow, int]) -> list[asyncio.Task[None]]:
        tasks = [asyncio.ensure_future(self.part(*part)) for part in parts]
        await settle()
        return tasks

    async def finish(self) -> None:
        """Let every part go, one after the other, in the order of their turns."""
        done = 0
        while done < len(self.order):
            self.held[self.order[done]].set()
            done += 1
            await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_triton_gets_half_a_second_of_work_and_the_rest_waits() -> None:
    async def check() -> None:
        triton = Triton(Turns(60))  # 1,000 tokens per second to begin with: 500 at a time
        await triton.start(*[(f"part {number}", BULK, 200) for number in range(5)])
        assert triton.order == ["part 0", "part 1"]
        await triton.finish()
        assert triton.order == [f"part {number}" for number in range(5)]

    run(check())


def test_a_short_query_is_next_however_much_its_own_client_and_others_have_queued() -> None:
    async def check() -> None:
        triton = Triton(Turns(60))
        await triton.start(*[(f"bulk {number}", BULK, 250) for number in range(20)])
        await triton.start(("query", QUERY, 10), ("other", OTHER, 250))
        await triton.finish()
        assert triton.order[:2] == ["bulk 0", "bulk 1"]
        assert set(triton.order[2:5]) == {"query", "other", "bulk 2"}
        assert triton.order.index("query") <= 3

    run(check())


def test_two_clients_with_equal_backlogs_take_turns() -> None:
    async def check() -> None:
        triton = Triton(Turns(60))
        await triton.start(*[(f"a{number}", BULK, 300) for number in range(10)])
        await triton.start(*[(f"b{number}", OTHER, 300) for number in range(10)])
        await triton.finish()
        first = triton.order[2:14]
        assert abs(sum(name.startswith("a") for name in first) - 6) <= 1

    run(check())


def test_a_part_that_is_late_is_never_sent_and_leaves_room_for_the_next() -> None:
    async def check() -> None:
        triton = Triton(Turns(60))
        await triton.start(("first", BULK, 300), ("second", BULK, 300))
        late = asyncio.ensure_future(triton.part("late", BULK, 300, asyncio.get_running_loop().time() + 0.01))
        (last,) = await triton.start(("last", BULK, 300))
        with pytest.raises(RefusedError) as refused:
            await late
        assert refused.value.status == 504
        await triton.finish()
        await last
        assert triton.order == ["first", "second", "last"]

    run(check())


def test_work_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    async def check() -> None:
        triton = Triton(Turns(60))
        await triton.start(("first", BULK, 300), ("second", BULK, 300))
        gone, _ = await triton.start(("gone", BULK, 300), ("last", BULK, 300))
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await triton.finish()
        assert triton.order == ["first", "second", "last"]

    run(check())


def admitted(turns: Turns, stack: contextlib.ExitStack, flow: Flow, tokens: int) -> RefusedError | None:
    try:
        stack.enter_context(turns.admitted(flow, tokens))
    except RefusedError as error:
        return error
    return None


def test_work_is_admitted_up_to_half_of_what_fits_the_deadline() -> None:
    turns = Turns(60)  # 1,000 tokens per second, of which 85 % are planned: 51,000 fit, 25,500 of one flow
    turns.rate.add(60_000, 60.0)
    with contextlib.ExitStack() as stack:
        assert admitted(turns, stack, BULK, 20_000) is None
        assert admitted(turns, stack, BULK, 5_000) is None
        refused = admitted(turns, stack, BULK, 4_000)
        assert refused is not None
        assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
        assert refused.retry_after_s == 3.5  # 29,000 - 25,500 tokens later
        assert admitted(turns, stack, OTHER, 17_000) is None  # 51,000 / 3
        assert admitted(turns, stack, QUERY, 100) is None
        assert turns.pending_tokens == 42_100
    assert turns.pending_tokens == 0


def test_before_the_rate_is_measured_clients_are_told_to_come_back_soon() -> None:
    turns = Turns(60)
    with contextlib.ExitStack() as stack:
        assert admitted(turns, stack, BULK, 100_000) is None
        refused = admitted(turns, stack, BULK, 10_000)
        assert refused is not None
        assert refused.retry_after_s == 1
        turns.rate.add(5_000, 4.0)
        refused = admitted(turns, stack, BULK, 10_000)
        assert refused is not None
        assert refused.retry_after_s == 5


def test_an_idle_model_admits_a_request_of_any_size() -> None:
    turns = Turns(60)
    with contextlib.ExitStack() as stack:
        assert admitted(turns, stack, BULK, 10**7) is None
        assert admitted(turns, stack, BULK, 100) is not None
        assert admitted(turns, stack, QUERY, 100) is None


def test_the_rate_is_that_of_the_time_under_load() -> None:
    rate = Rate()
    assert rate.tokens_per_s == 1000
    for _ in range(60):
        rate.add(5000, 1.0)
    assert rate.tokens_per_s == pytest.approx(5000, rel=0.01)
    for _ in range(10):  # after ten seconds, a third of the old measurement is left
        rate.add(10_000, 1.0)
    assert rate.tokens_per_s == pytest.approx(5000 + 5000 * (1 - 0.368), rel=0.01)


def test_idle_time_does_not_lower_the_rate() -> None:
    now = 0.0
    turns = Turns(60, clock=lambda: now)
    before = turns.rate.tokens_per_s

    async def check() -> None:
        nonlocal now
        for _ in range(5):
            async with turns.turn(QUERY, 10, FAR):
                now += 1.0
            now += 1000.0

    run(check())
    assert turns.rate.tokens_per_s == before


def test_lengths_learn_the_tokens_per_byte_and_the_longest_text() -> None:
    lengths = Lengths()
    assert lengths.estimate(b"x" * 400) == 102  # a quarter of the bytes, and two
    assert lengths.estimate(b"x" * 60_000) == 512
    for _ in range(100):
        lengths.learn([b"x" * 400, b"y" * 60_000], [202, 2048])  # half of the bytes; the long one was cut
    assert lengths.estimate(b"x" * 400) == pytest.approx(202, abs=1)
    assert lengths.estimate(b"x" * 60_000) == 2048
