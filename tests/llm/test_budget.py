"""The budget: a cost ceiling that concurrent calls never exceed."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.ledger import Ledger


def test_usages_add_up() -> None:
    assert Usage(1, 2, 3, 4, 0.5) + Usage(10, 20, 30, 40, 0.25) == Usage(11, 22, 33, 44, 0.75)


def test_a_call_that_could_exceed_the_ceiling_is_not_made() -> None:
    async def scenario() -> None:
        budget = Budget(1.0)
        async with budget.reserve(0.6, 60) as call:
            call.settle(0.5)
        assert budget.spent_usd == 0.5
        async with budget.reserve(0.5, 60) as call:  # exactly the ceiling
            call.settle(0.0)
        with pytest.raises(GateError) as caught:
            async with budget.reserve(0.51, 60):
                raise AssertionError
        assert caught.value.exit_code == 3
        for part in ("$0.5000", "$1.0000", "$0.5100", "generate.max_cost"):
            assert part in str(caught.value)

    asyncio.run(scenario())


def test_near_the_ceiling_a_call_waits_for_the_real_cost_of_those_in_flight() -> None:
    async def scenario() -> list[str]:
        budget, events, finish = Budget(1.0), [], asyncio.Event()

        async def first() -> None:
            async with budget.reserve(0.8, 60) as call:
                events.append("first sent")
                await finish.wait()
                call.settle(0.1)
                events.append("first cost 0.1")

        async def second() -> None:
            async with budget.reserve(0.8, 60):
                events.append("second sent")

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await asyncio.sleep(0.01)
        finish.set()
        await asyncio.gather(*tasks)
        return events

    assert asyncio.run(scenario()) == ["first sent", "first cost 0.1", "second sent"]


def test_a_cancelled_call_may_have_been_charged_and_is_booked_like_the_most_expensive_one() -> None:
    async def scenario() -> None:
        budget = Budget(10.0)
        async with budget.reserve(1.0, 60) as call:
            call.settle(0.25)

        async def cancelled() -> None:
            async with budget.reserve(1.0, 60):
                await asyncio.sleep(60)

        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert budget.spent_usd == 0.5
        assert budget.room_usd == 9.5

    asyncio.run(scenario())


def test_without_a_ceiling_what_is_spent_is_booked_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Budget(None, Ledger(tmp_path / "llm.sqlite", "chunks")).reserve(5.0, 60) as call:
            call.settle(3.0)

    asyncio.run(scenario())
    later = Budget(4.0, Ledger(tmp_path / "llm.sqlite", "chunks"))
    assert (later.spent_usd, later.room_usd) == (3.0, 1.0)


def test_a_budget_outlives_an_event_loop() -> None:
    budget = Budget(1.0)

    async def contended() -> None:
        async def one() -> None:
            async with budget.reserve(1.0, 60) as call:
                await asyncio.sleep(0.001)
                call.settle(0.0)

        await asyncio.gather(one(), one())

    asyncio.run(contended())
    asyncio.run(contended())


@pytest.mark.parametrize("others_usd", [0.0, 0.5])
def test_near_the_ceiling_a_call_waits_for_those_of_another_process(tmp_path: Path, others_usd: float) -> None:
    other = Ledger(tmp_path / "llm.sqlite", "chunks")

    async def scenario() -> None:
        ticket = other.reserve(0.9, None, 60)
        budget = Budget(1.0, Ledger(tmp_path / "llm.sqlite", "chunks"))

        async def call() -> None:
            async with budget.reserve(0.6, 60) as reservation:
                reservation.settle(0.1)

        task = asyncio.create_task(call())
        await asyncio.sleep(0.02)
        assert not task.done()
        assert isinstance(ticket, str)
        other.settle(ticket, others_usd)
        if others_usd:
            with pytest.raises(GateError, match=r"\$0\.5000 is spent"):
                await task
        else:
            await task

    asyncio.run(scenario())


def test_a_call_does_not_wait_for_a_batch_which_may_take_days() -> None:
    async def scenario() -> None:
        budget = Budget(1.0)
        assert budget.reserve_batch(0.75, "batch")
        assert not budget.reserve_batch(0.5, "another")
        with pytest.raises(GateError, match=r"up to \$0\.7500 is reserved for open batches"):
            async with budget.reserve(0.5, 60):
                raise AssertionError
        budget.settle_batch("batch", 0.25)
        async with budget.reserve(0.5, 60) as call:
            call.settle(0.5)
        assert budget.spent_usd == 0.75

    asyncio.run(scenario())


@settings(deadline=None)
@given(
    ceiling=st.integers(min_value=0, max_value=30),
    calls=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20),
)
def test_the_ceiling_is_never_exceeded_whatever_calls_cost(ceiling: int, calls: list[tuple[int, int]]) -> None:
    async def scenario() -> float:
        budget = Budget(float(ceiling))

        async def call(worst: int, delay: int) -> None:
            async with budget.reserve(float(worst), 60) as reservation:
                for _ in range(delay):
                    await asyncio.sleep(0)
                reservation.settle(float(worst if delay % 2 else worst // 2))
                assert budget.spent_usd <= ceiling

        outcomes = await asyncio.gather(*(call(*c) for c in calls), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, GateError) for outcome in outcomes)
        return budget.spent_usd

    assert asyncio.run(scenario()) <= ceiling
