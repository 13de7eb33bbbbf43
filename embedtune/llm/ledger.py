"""What LLM calls have cost, in the file of the replies: booked across processes, restarts and pods."""

import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedtune.llm.transactions import transaction

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS spending (
        scope TEXT PRIMARY KEY, usd REAL NOT NULL, highest_usd REAL NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS reservations (
        ticket TEXT PRIMARY KEY, scope TEXT NOT NULL, usd REAL NOT NULL, expires REAL, booked_usd REAL
    ) WITHOUT ROWID
    """,
)


def create_tables(db: sqlite3.Connection) -> None:
    """Create the tables of a ledger, unless they are there."""
    for table in TABLES:
        db.execute(table)


@dataclass(frozen=True)
class Balance:
    """What one scope has cost.

    Attributes:
        spent_usd: Cost of all calls that ended, in any process.
        reserved_usd: The most that the calls in flight and the open batches can cost, in all processes.
        batches_usd: The part of `reserved_usd` for batches, which may take days.
        lost_usd: The part of `spent_usd` for calls whose cost is not known, since nobody saw how they ended.
    """

    spent_usd: float
    reserved_usd: float
    lost_usd: float
    batches_usd: float = 0.0


class Ledger:
    """Reserves and books money in one transaction each, so that several processes share one ceiling.

    A reservation that is neither settled nor lost when its time is over belongs to a process that was killed. Its
    call may have been answered, and charged, all the same: it is booked at what the most expensive call of the
    scope has cost, but at most at what was reserved. If the process was only asleep, its settlement replaces that.

    Args:
        path: The sqlite file, or None for a ledger in memory.
        scope: What the money is spent on. Other scopes in the same file have budgets of their own.
        clock: Returns the time in seconds; the same for all processes.
    """

    def __init__(self, path: Path | None, scope: str, clock: Callable[[], float] = time.time) -> None:
        self._scope = scope
        self._clock = clock
        self._db = sqlite3.connect(path or ":memory:", timeout=60.0, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = NORMAL")
        create_tables(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def reserve(
        self, usd: float, ceiling_usd: float | None, valid_s: float | None, ticket: str | None = None
    ) -> str | Balance:
        """Reserve money for a call.

        Args:
            usd: The most that the call can cost.
            ceiling_usd: The most that the scope may cost; None: anything.
            valid_s: Seconds after which the call has ended in any case; None: it may take any time.
            ticket: Name of the ticket; None: a new one.

        Returns:
            The ticket to settle; or the balance, if the call could exceed the ceiling.
        """
        with transaction(self._db):
            balance = self._balance()
            if ceiling_usd is not None and balance.spent_usd + balance.reserved_usd + usd > ceiling_usd:
                return balance
            ticket = ticket or uuid.uuid4().hex
            expires = None if valid_s is None else self._clock() + valid_s
            row = (ticket, self._scope, usd, expires)
            self._db.execute("INSERT INTO reservations VALUES (?, ?, ?, ?, NULL)", row)
            return ticket

    def settle(self, ticket: str, usd: float) -> None:
        """Book the real cost of a call in place of its reservation; a second time changes nothing."""
        with transaction(self._db):
            query = "DELETE FROM reservations WHERE ticket = ? RETURNING coalesce(booked_usd, 0.0)"
            rows = self._db.execute(query, (ticket,)).fetchall()
            for (booked,) in rows:
                self._book(usd - booked, highest=usd)

    def lose(self, ticket: str) -> None:
        """Book a call that was sent and whose end was not seen."""
        with transaction(self._db):
            self._book_lost("ticket = ?", ticket)

    def balance(self) -> Balance:
        """Return what the scope has cost so far."""
        with transaction(self._db):
            return self._balance()

    def _balance(self) -> Balance:
        self._book_lost("expires < ?", self._clock())
        query = "SELECT coalesce(sum(usd), 0.0) FROM spending WHERE scope = ?"
        (spent,) = self._db.execute(query, (self._scope,)).fetchone()
        query = """
            SELECT coalesce(sum(CASE WHEN booked_usd IS NULL THEN usd END), 0.0), coalesce(sum(booked_usd), 0.0),
                coalesce(sum(CASE WHEN expires IS NULL THEN usd END), 0.0)
            FROM reservations WHERE scope = ?
        """
        reserved, lost, batches = self._db.execute(query, (self._scope,)).fetchone()
        return Balance(spent, reserved, lost, batches)

    def _book_lost(self, which: str, value: str | float) -> None:
        highest = "(SELECT nullif(highest_usd, 0.0) FROM spending WHERE scope = reservations.scope)"
        query = (
            f"UPDATE reservations SET booked_usd = min(usd, coalesce({highest}, usd)) "  # noqa: S608
            f"WHERE scope = ? AND booked_usd IS NULL AND {which} RETURNING booked_usd"
        )
        for (booked,) in self._db.execute(query, (self._scope, value)).fetchall():
            self._book(booked, highest=0.0)

    def _book(self, usd: float, highest: float) -> None:
        query = """
            INSERT INTO spending VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE
            SET usd = usd + excluded.usd, highest_usd = max(highest_usd, excluded.highest_usd)
        """
        self._db.execute(query, (self._scope, usd, highest))
