"""The budget: a cost ceiling that concurrent calls never exceed."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.llm.budget import Budget, Usage


def test_usages_add_up() -> None:
    assert Usage(1, 2, 3, 4, 0.5) + Usage(10, 20, 30, 40, 0.25) == Usage(11, 22, 33, 44, 0.75)


def test_a_call_that_could_exceed_the_ceiling_is_not_made() -> None:
    async def scenario() -> None:
        budget = Budget(1.0)
        async with budget.reserve(0.6) as book:
            book(0.5)
        assert budget.spent_usd == 0.5
        async with budget.reserve(0.5):  # exactly the ceiling
            pass
        with pytest.raises(GateError) as caught:
            async with budget.reserve(0.51):
                raise AssertionError
        assert caught.value.exit_code == 3
        for part in ("$0.5000", "$1.0000", "$0.5100", "generate.max_cost"):
            assert part in str(caught.value)

    asyncio.run(scenario())


def test_near_the_ceiling_a_call_waits_for_the_real_cost_of_those_in_flight() -> None:
    async def scenario() -> list[str]:
        budget, events, finish = Budget(1.0), [], asyncio.Event()

        async def first() -> None:
            async with budget.reserve(0.8) as book:
                events.append("first sent")
                await finish.wait()
                book(0.1)
                events.append("first cost 0.1")

        async def second() -> None:
            async with budget.reserve(0.8):
                events.append("second sent")

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await asyncio.sleep(0.01)
        finish.set()
        await asyncio.gather(*tasks)
        return events

    assert asyncio.run(scenario()) == ["first sent", "first cost 0.1", "second sent"]


def test_a_cancelled_call_releases_its_reservation() -> None:
    async def scenario() -> None:
        budget = Budget(1.0)

        async def call() -> None:
            async with budget.reserve(1.0):
                await asyncio.sleep(60)

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with budget.reserve(1.0):
            pass

    asyncio.run(scenario())


def test_a_budget_outlives_an_event_loop() -> None:
    budget = Budget(1.0)

    async def contended() -> None:
        async def call() -> None:
            async with budget.reserve(1.0):
                await asyncio.sleep(0.001)

        await asyncio.gather(call(), call())

    asyncio.run(contended())
    asyncio.run(contended())


@settings(deadline=None)
@given(
    ceiling=st.integers(min_value=0, max_value=30),
    calls=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20),
)
def test_the_ceiling_is_never_exceeded_whatever_calls_cost(ceiling: int, calls: list[tuple[int, int]]) -> None:
    async def scenario() -> float:
        budget = Budget(float(ceiling))

        async def call(worst: int, delay: int) -> None:
            async with budget.reserve(float(worst)) as book:
                for _ in range(delay):
                    await asyncio.sleep(0)
                book(float(worst if delay % 2 else worst // 2))
                assert budget.spent_usd <= ceiling

        outcomes = await asyncio.gather(*(call(*c) for c in calls), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, GateError) for outcome in outcomes)
        return budget.spent_usd

    assert asyncio.run(scenario()) <= ceiling
