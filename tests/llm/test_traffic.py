"""An LLM endpoint that answers nothing gets fewer calls first, and then more time, within bounds."""

import asyncio

import pytest

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.traffic import Pressure

SETTINGS = LLMEndpointSettings(base_url="http://127.0.0.1:9/v1", model="slow", timeout_s=10, concurrency=16)


def time_out(pressure: Pressure, *, silent: bool = True) -> tuple[int, float]:
    async def one() -> None:
        async with pressure.limit.permit() as era:
            pressure.congested(era, pressure.time_limit_s, timed_out=True, silent=silent)

    asyncio.run(one())
    return pressure.limit.limit, pressure.time_limit_s


def test_first_one_call_at_a_time_then_more_time_up_to_four_times_as_much(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pressure = Pressure(SETTINGS, "generate.llm")
    assert [time_out(pressure) for _ in range(4)] == [(1, 10), (1, 20), (1, 40), (1, 40)]
    assert pressure.traffic.timed_out == 4
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "none of 16 calls was answered within 10 s" in said[0] and "generate.llm.concurrency (16)" in said[0]
    assert "from now on 20 s each. Set generate.llm.timeout_s (10)" in said[1]


def test_calls_that_were_sent_together_count_once() -> None:
    async def together() -> Pressure:
        pressure = Pressure(SETTINGS, "generate.llm")
        async with pressure.limit.permit() as first, pressure.limit.permit() as second:
            for era in (first, second):
                pressure.congested(era, 10.0, timed_out=True, silent=True)
        return pressure

    pressure = asyncio.run(together())
    assert (pressure.limit.limit, pressure.time_limit_s) == (1, 10)


def test_an_llm_endpoint_that_has_answered_keeps_its_time_limit() -> None:
    pressure = Pressure(SETTINGS, "generate.llm")
    assert time_out(pressure, silent=False) == (8, 10)
    for _ in range(5):
        limits = time_out(pressure, silent=False)
    assert limits == (1, 10)
