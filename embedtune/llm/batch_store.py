"""Which batches were submitted, in the file of the replies: a restarted command does not pay twice."""

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.machine_errors import naming
from embedtune.llm.transactions import transaction

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS batches (
        batch TEXT PRIMARY KEY, address TEXT NOT NULL, remote TEXT, ended INTEGER NOT NULL, created REAL NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS batch_requests (
        batch TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (batch, key)
    ) WITHOUT ROWID
    """,
)


@dataclass(frozen=True)
class Batch:
    """A batch that was submitted, or was about to be.

    Attributes:
        batch: Our name of it, which is sent along: it is found by this name if we never got to know the other.
        remote: The provider's name of it; None while it is being submitted.
        keys: Cache keys of its requests.
    """

    batch: str
    remote: str | None
    keys: frozenset[str]


class BatchStore:
    """The batches of one address that have not ended.

    Args:
        path: The sqlite file.
        address: URL and model that the batches are sent to.
    """

    def __init__(self, path: Path, address: str) -> None:
        self._path = path
        self._address = address
        with naming(path):
            self._db = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
            for table in TABLES:
                self._db.execute(table)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Keep other processes from submitting: what is being submitted while this is held, nobody submits.

        Args:
            wait: Called while another process holds it, for as long as that does.
        """
        with self._path.with_name(f"{self._path.name}.batches").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    wait()
            yield

    def begin(self, batch: str, keys: Iterable[str]) -> None:
        """Write down a batch that is about to be submitted."""
        with transaction(self._db):
            row = (batch, self._address, time.time())
            self._db.execute("INSERT INTO batches VALUES (?, ?, NULL, 0, ?)", row)
            self._db.executemany(
                "INSERT INTO batch_requests VALUES (?, ?)", ((batch, key) for key in sorted(keys))
            )

    def submitted(self, batch: str, remote: str) -> None:
        """Write down the provider's name of a batch."""
        self._db.execute("UPDATE batches SET remote = ? WHERE batch = ?", (remote, batch))

    def ended(self, batch: str) -> None:
        """Write down that the results of a batch are in the cache, or that there will be none."""
        with transaction(self._db):
            self._db.execute("UPDATE batches SET ended = 1 WHERE batch = ?", (batch,))
            self._db.execute("DELETE FROM batch_requests WHERE batch = ?", (batch,))

    def open_batches(self, keys: Sequence[str]) -> list[Batch]:
        """Return the batches that have not ended and contain any of these requests, the oldest first."""
        query = "SELECT batch, remote FROM batches WHERE address = ? AND ended = 0 ORDER BY created, batch"
        wanted = set(keys)
        found = []
        for batch, remote in self._db.execute(query, (self._address,)).fetchall():
            rows = self._db.execute("SELECT key FROM batch_requests WHERE batch = ?", (batch,))
            own = frozenset(key for (key,) in rows)
            if own & wanted:
                found.append(Batch(batch, remote, own))
        return found
