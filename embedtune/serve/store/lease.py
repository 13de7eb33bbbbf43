"""A lease: a small object that its holder renews. If it is not renewed in time, its holder is presumed dead."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from embedtune.core.errors import InputError
from embedtune.core.records.base import render_record
from embedtune.serve.store.objects import ABSENT, ConflictError, Objects
from embedtune.serve.store.records import LeaseRecord

log = logging.getLogger(__name__)
LIFE_S = 60.0


class Lease:
    """A lease that this process holds.

    Args:
        objects: The store.
        key: The lease's object.
        record: What the object says.
        etag: The version that this process wrote.
        life_s: Seconds without a renewal after which a lease has expired.
    """

    def __init__(self, objects: Objects, key: str, record: LeaseRecord, etag: str, life_s: float) -> None:
        self.key = key
        self._objects = objects
        self._record = record
        self._etag = etag
        self._life_s = life_s
        self._guard = threading.Lock()

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            ConflictError: Another process holds it now.
        """
        with self._guard:
            self._record = self._record.model_copy(update={"renewals": self._record.renewals + 1})
            self._etag = _write(self._objects, self.key, self._record, self._etag)

    def end(self) -> None:
        """Release the lease."""
        with self._guard:
            self._objects.delete([self.key])

    @contextmanager
    def kept(self) -> Iterator["Lease"]:
        """Renew the lease in the background during a `with` block, then release it.

        It is released even if the block raises. A lease that was lost stays with its new holder.
        """
        stop = threading.Event()
        thread = threading.Thread(target=self._keep, args=(stop,), daemon=True, name="lease")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            self._give_back()

    def _give_back(self) -> None:
        """End the lease; if that fails it expires by itself, which must not fail what was done under it."""
        try:
            self.renew()
            self.end()
        except ConflictError:
            pass
        except InputError as error:
            log.warning("the lease %s could not be released, and expires: %s", self.key, error.what)

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._life_s / 4):
            try:
                self.renew()
            except ConflictError:
                return  # the holder notices at its own next renewal
            except InputError as error:
                log.warning("the lease %s could not be renewed: %s", self.key, error.what)


def acquire(
    objects: Objects,
    key: str,
    *,
    data: str | None = None,
    files: Sequence[str] = (),
    wait_s: float = 0.0,
    life_s: float = LIFE_S,
) -> Lease | None:
    """Take a lease, or return None while another process holds it.

    Args:
        objects: The store.
        key: The lease's object.
        data: For an upload or a deletion: where its files are.
        files: For an upload or a deletion: their paths under `data`.
        wait_s: Keep trying for this many seconds.
        life_s: Seconds without a renewal after which a lease has expired; the same for all who use this key.
    """
    holder = f"{socket.gethostname()} pid {os.getpid()}"
    record = LeaseRecord(holder=holder, token=uuid.uuid4().hex, renewals=0, data=data, files=tuple(files))
    deadline = time.monotonic() + wait_s
    while True:
        held = objects.read(key)
        # Only its age counts, so that a lease of any version of embedtune is respected and expires.
        if held is None or held.age_s > life_s:
            with suppress(ConflictError):
                etag = _write(objects, key, record, ABSENT if held is None else held.etag)
                return Lease(objects, key, record, etag, life_s)
        if time.monotonic() >= deadline:
            return None
        time.sleep(min(1.0, life_s / 4))


def _write(objects: Objects, key: str, record: LeaseRecord, condition: str) -> str:
    try:
        return objects.write(key, record, condition)
    except ConflictError:
        # If the response to a write is lost, the write is sent again and then conflicts with itself.
        now = objects.read(key)
        if now is None or now.text != render_record(record).encode():
            raise
        return now.etag
