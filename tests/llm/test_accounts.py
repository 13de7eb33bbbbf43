"""The ceiling holds across caches: what each has spent is told to the others once; values worked out by hand."""

from pathlib import Path

import pytest

from embedtune.llm.accounts import Account, add_account, own_account
from embedtune.llm.ledger import Balance, Ledger


def spend(path: Path, usd: float, scope: str = "chunks") -> None:
    ledger = Ledger(path, scope)
    ticket = ledger.reserve(10.0, None, 60.0)
    assert isinstance(ticket, str)
    ledger.settle(ticket, usd)
    ledger.close()


def balance(path: Path, scope: str = "chunks") -> Balance:
    ledger = Ledger(path, scope)
    try:
        return ledger.balance()
    finally:
        ledger.close()


def test_what_another_cache_has_spent_counts_once_however_often_it_is_told(tmp_path: Path) -> None:
    first, second = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    spend(first, 2.0)
    spend(first, 0.5, "other chunks")
    for _ in range(2):
        add_account(second, own_account(first))
    assert balance(second) == Balance(2.0, 0.0, 0.0)
    assert balance(second, "other chunks") == Balance(0.5, 0.0, 0.0)
    spend(first, 1.0)
    add_account(second, own_account(first))
    assert balance(second).spent_usd == 3.0


def test_a_cache_tells_only_its_own_spending(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{number}.sqlite" for number in range(3))
    spend(first, 2.0)
    add_account(second, own_account(first))
    spend(second, 1.0)
    assert own_account(second).usd == {"chunks": 1.0}
    for other in (first, second):
        add_account(third, own_account(other))
    assert balance(third).spent_usd == 3.0
    add_account(first, own_account(second))
    assert (balance(first).spent_usd, own_account(first).usd) == (3.0, {"chunks": 2.0})


def test_a_cache_that_comes_back_knows_itself(tmp_path: Path) -> None:
    spend(tmp_path / "a", 2.0)
    add_account(tmp_path / "a", own_account(tmp_path / "a"))
    assert balance(tmp_path / "a").spent_usd == 2.0


@pytest.mark.parametrize(("spent", "told"), [(None, 5.0), (0.25, 0.5)])
def test_calls_in_flight_are_told_as_if_nobody_saw_their_end(
    tmp_path: Path, spent: float | None, told: float
) -> None:
    # At what the most expensive call has cost, 0.25; at what is reserved, 5.00, if none has ended.
    if spent is not None:
        spend(tmp_path / "a", spent)
    ledger = Ledger(tmp_path / "a", "chunks")
    ticket = ledger.reserve(5.0, None, 60.0)
    account = own_account(tmp_path / "a")
    assert account.usd == {"chunks": told}
    add_account(tmp_path / "b", account)
    ledger.settle(str(ticket), 0.125)
    add_account(tmp_path / "b", own_account(tmp_path / "a"))  # it has ended well after all
    assert balance(tmp_path / "b").spent_usd == (spent or 0.0) + 0.125


def test_an_open_batch_is_told_whole(tmp_path: Path) -> None:
    spend(tmp_path / "a", 0.25)
    ledger = Ledger(tmp_path / "a", "chunks")
    ledger.reserve(5.0, None, None, "batch")
    assert own_account(tmp_path / "a").usd == {"chunks": 5.25}


def test_an_empty_cache_has_an_account(tmp_path: Path) -> None:
    one = own_account(tmp_path / "a")
    assert one == own_account(tmp_path / "a") == Account(cache=one.cache, usd={})
    assert one.cache != own_account(tmp_path / "b").cache
