"""What caches elsewhere have spent: the ceiling on the cost then holds across pods whose disks are lost."""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from embedtune.core.records.base import JsonRecord
from embedtune.llm.ledger import create_tables
from embedtune.llm.transactions import transaction

TABLES = (
    "CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS elsewhere (
        cache TEXT NOT NULL, scope TEXT NOT NULL, usd REAL NOT NULL, PRIMARY KEY (cache, scope)
    ) WITHOUT ROWID
    """,
)
# What a file has booked itself, and what its calls in flight would be booked at if nobody saw how they ended.
OWN = """
    SELECT scope, usd - coalesce((SELECT sum(usd) FROM elsewhere WHERE elsewhere.scope = spending.scope), 0.0)
    FROM spending
"""
AT_RISK = """
    SELECT scope, sum(CASE WHEN expires IS NULL THEN usd ELSE min(usd, coalesce(
        (SELECT nullif(highest_usd, 0.0) FROM spending WHERE spending.scope = reservations.scope), usd)) END)
    FROM reservations WHERE booked_usd IS NULL GROUP BY scope
"""
BOOK = "INSERT INTO spending VALUES (?, ?, 0.0) ON CONFLICT (scope) DO UPDATE SET usd = usd + excluded.usd"


class Account(JsonRecord):
    """What one cache of replies has spent.

    Args:
        cache: Identifies the file that booked it.
        usd: Cost in USD by scope, calls in flight included.
    """

    NAME: ClassVar[str] = "spending"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune generate"

    cache: str
    usd: dict[str, float]


def own_account(path: Path) -> Account:
    """Return what a cache has spent itself, without what it knows of others.

    Args:
        path: The file of the replies; it is created.
    """
    with closing(_open(path)) as db, transaction(db):
        db.execute("INSERT OR IGNORE INTO origin VALUES (1, ?)", (uuid.uuid4().hex,))
        (name,) = db.execute("SELECT id FROM origin").fetchone()
        spent = dict(db.execute(OWN).fetchall())
        for scope, usd in db.execute(AT_RISK).fetchall():
            spent[scope] = spent.get(scope, 0.0) + usd
    return Account(cache=name, usd={scope: round(usd, 9) for scope, usd in sorted(spent.items())})


def add_account(path: Path, account: Account) -> None:
    """Book what another cache has spent, as far as that is not booked yet; a cache's own account changes nothing.

    Args:
        path: The file of the replies; it is created.
        account: That of any cache.
    """
    if account.cache == own_account(path).cache:
        return
    with closing(_open(path)) as db, transaction(db):
        known = dict(db.execute("SELECT scope, usd FROM elsewhere WHERE cache = ?", (account.cache,)).fetchall())
        for scope, usd in account.usd.items():
            db.execute("INSERT OR REPLACE INTO elsewhere VALUES (?, ?, ?)", (account.cache, scope, usd))
            db.execute(BOOK, (scope, usd - known.get(scope, 0.0)))


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    create_tables(db)
    for table in TABLES:
        db.execute(table)
    return db
