"""Transactions of the sqlite file that holds the replies, what they cost and the open batches."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do what is in the body completely or not at all, while no other process writes to the file."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:  # Ctrl-C too: nothing half done stays
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
