"""The ledger: money is booked across processes, and what a killed process had reserved is recovered."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.llm.ledger import Balance, Ledger


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "llm.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(file: Path, clock: Clock) -> Iterator[Ledger]:
    one = Ledger(file, "chunks", clock)
    yield one
    one.close()


def ticket(ledger: Ledger, usd: float, valid_s: float | None = 60.0) -> str:
    found = ledger.reserve(usd, None, valid_s)
    assert isinstance(found, str)
    return found


def test_the_real_cost_replaces_the_reservation_once(ledger: Ledger) -> None:
    one = ticket(ledger, 1.0)
    assert ledger.balance() == Balance(0.0, 1.0, 0.0)
    ledger.settle(one, 0.25)
    ledger.settle(one, 0.25)
    assert ledger.balance() == Balance(0.25, 0.0, 0.0)


def test_what_could_exceed_the_ceiling_is_not_reserved(ledger: Ledger) -> None:
    ledger.settle(ticket(ledger, 1.0), 0.5)
    ticket(ledger, 0.25)
    assert ledger.reserve(0.5, 1.0, 60) == Balance(0.5, 0.25, 0.0)
    assert isinstance(ledger.reserve(0.25, 1.0, 60), str)


def test_another_process_sees_what_is_spent_and_reserved(ledger: Ledger, file: Path, clock: Clock) -> None:
    ledger.settle(ticket(ledger, 1.0), 0.5)
    ticket(ledger, 0.25)
    assert Ledger(file, "chunks", clock).balance() == Balance(0.5, 0.25, 0.0)


def test_each_scope_has_a_budget_of_its_own(ledger: Ledger, file: Path) -> None:
    ledger.settle(ticket(ledger, 1.0), 0.5)
    ticket(ledger, 0.25)
    assert Ledger(file, "other chunks").balance() == Balance(0.0, 0.0, 0.0)


def test_a_reservation_that_nobody_settles_in_time_is_booked_like_the_most_expensive_call(
    ledger: Ledger, clock: Clock
) -> None:
    for cost in (0.1, 0.3, 0.2):
        ledger.settle(ticket(ledger, 1.0), cost)
    ticket(ledger, 1.0)
    ticket(ledger, 0.05)  # never more than was reserved
    clock.now += 60
    assert ledger.balance().reserved_usd == pytest.approx(1.05)
    clock.now += 1
    after = ledger.balance()
    assert (after.spent_usd, after.reserved_usd, after.lost_usd) == pytest.approx((0.6 + 0.35, 0.0, 0.35))
    assert ledger.balance() == after


def test_with_no_other_call_a_lost_one_is_booked_at_what_was_reserved(ledger: Ledger) -> None:
    ledger.lose(ticket(ledger, 1.0))
    assert ledger.balance() == Balance(1.0, 0.0, 1.0)


def test_a_call_that_ends_after_it_was_taken_for_lost_is_booked_at_its_real_cost(
    ledger: Ledger, clock: Clock
) -> None:
    one = ticket(ledger, 1.0)
    clock.now += 61
    assert ledger.balance().spent_usd == 1.0
    ledger.settle(one, 0.25)
    assert ledger.balance() == Balance(0.25, 0.0, 0.0)


def test_a_reservation_without_an_end_stays(ledger: Ledger, clock: Clock) -> None:
    ticket(ledger, 1.0, valid_s=None)
    clock.now += 1e9
    assert ledger.balance() == Balance(0.0, 1.0, 0.0, batches_usd=1.0)


def spend(file: Path, calls: int) -> None:
    """Make calls of up to 3 USD that cost 1 USD, below a ceiling of 20 USD."""
    ledger = Ledger(file, "chunks")
    for _ in range(calls):
        found = ledger.reserve(3.0, 20.0, 60)
        if isinstance(found, str):
            ledger.settle(found, 1.0)


def test_processes_that_spend_at_once_do_not_exceed_the_ceiling(file: Path) -> None:
    Ledger(file, "chunks").close()
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=spend, args=(file, 15)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    # One process alone stops at 18 (17 + 3 = 20 was admitted); two others may hold 3 each while it is refused.
    assert 12.0 <= Ledger(file, "chunks").balance().spent_usd <= 18.0


def reserve_and_die(file: Path) -> None:
    ticket(Ledger(file, "chunks"), 1.0, valid_s=30)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_reservations_of_a_killed_process_are_recovered(file: Path, clock: Clock) -> None:
    Ledger(file, "chunks").close()
    process = multiprocessing.get_context("fork").Process(target=reserve_and_die, args=(file,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    other = Ledger(file, "chunks", clock)  # its clock shows the year 1970: the time is not over
    other.settle(ticket(other, 1.0), 0.125)
    assert other.balance() == Balance(0.125, 1.0, 0.0)
    clock.now = 1e12
    assert other.balance() == Balance(0.25, 0.0, 0.125)


@given(
    ceiling=st.integers(0, 20),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["settle", "lose", "forget"]))),
)
def test_spent_and_reserved_never_exceed_the_ceiling(ceiling: int, steps: list[tuple[int, int, str]]) -> None:
    clock = Clock()
    ledger = Ledger(None, "", clock)
    for most, cost, end in steps:
        found = ledger.reserve(float(most), float(ceiling), 10.0)
        clock.now += 4
        if isinstance(found, str) and end == "settle":
            ledger.settle(found, float(min(cost, most)))
        elif isinstance(found, str) and end == "lose":
            ledger.lose(found)
        balance = ledger.balance()
        assert balance.spent_usd + balance.reserved_usd <= ceiling
        assert 0.0 <= balance.lost_usd <= balance.spent_usd
