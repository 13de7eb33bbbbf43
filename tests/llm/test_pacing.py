"""Pacing: how long to wait, and how many requests to send at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.llm.pacing import AdaptiveLimit, Pacing, parse_retry_after, retry_delay

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PACING = Pacing(base_s=2.0, cap_s=30.0)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=20))
def test_without_a_time_from_the_server_the_longest_wait_doubles_up_to_the_cap(attempt: int) -> None:
    assert 0.0 <= retry_delay(attempt, None, PACING) <= min(30.0, 2.0 * 2**attempt)


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = [retry_delay(3, None, PACING) for _ in range(300)]
    assert min(waits) < 4.0
    assert max(waits) > 12.0


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=1e4))
def test_no_request_is_repeated_before_the_time_that_the_server_names(asked: float) -> None:
    assert asked <= retry_delay(0, asked, PACING) <= asked + 2.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_congestion_halves_the_limit_once_for_all_requests_in_flight() -> None:
    async def scenario() -> list[int]:
        limit = AdaptiveLimit(16)
        seen = [limit.limit]
        async with limit.permit() as first, limit.permit() as second:
            limit.congested(first)
            seen.append(limit.limit)
            limit.congested(second)  # rejected in the same burst
            seen.append(limit.limit)
        async with limit.permit() as later:
            limit.congested(later)
            seen.append(limit.limit)
        return seen

    assert asyncio.run(scenario()) == [16, 8, 8, 4]


def test_the_limit_never_falls_below_one_and_grows_by_one_per_window_of_successes() -> None:
    async def scenario() -> tuple[int, list[int]]:
        limit = AdaptiveLimit(3)
        for _ in range(4):
            async with limit.permit() as era:
                limit.congested(era)
        lowest, seen = limit.limit, []
        for _ in range(8):
            limit.succeeded()
            seen.append(limit.limit)
        return lowest, seen

    lowest, seen = asyncio.run(scenario())
    assert lowest == 1
    assert seen == [2, 2, 3, 3, 3, 3, 3, 3]  # one success at 1, two at 2, never above the maximum


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=6), st.integers(min_value=1, max_value=40))
def test_never_more_requests_than_the_limit_are_in_flight(maximum: int, requests: int) -> None:
    async def scenario() -> int:
        limit, busy, busiest = AdaptiveLimit(maximum), 0, 0

        async def request(number: int) -> None:
            nonlocal busy, busiest
            async with limit.permit() as era:
                busy += 1
                busiest = max(busiest, busy)
                assert busy <= maximum
                await asyncio.sleep(0)
                busy -= 1
                if number % 5 == 0:
                    limit.congested(era)
                else:
                    limit.succeeded()

        await asyncio.gather(*(request(number) for number in range(requests)))
        return busiest

    assert asyncio.run(scenario()) == min(maximum, requests)
