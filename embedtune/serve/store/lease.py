"""A lease: a small object that its holder renews. Not renewed for a while, its holder is taken for dead."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from embedtune.core.errors import InputError
from embedtune.serve.store.objects import ABSENT, ConflictError, Objects

log = logging.getLogger(__name__)
LIFE_S = 60.0


class Lease:
    """A lease that this process holds.

    Args:
        objects: The store.
        key: The object.
        record: What it says beside its holder.
        etag: The version that this process wrote.
        life_s: Seconds after which an unrenewed lease is dead.
    """

    def __init__(self, objects: Objects, key: str, record: dict[str, Any], etag: str, life_s: float) -> None:
        self.key = key
        self._objects = objects
        self._record = record
        self._etag = etag
        self._life_s = life_s
        self._guard = threading.Lock()

    def renew(self) -> None:
        """Renew it.

        Raises:
            ConflictError: Somebody else holds it now.
        """
        with self._guard:
            self._record["renewals"] += 1  # so that each renewal has an etag of its own
            self._etag = _write(self._objects, self.key, self._record, self._etag)

    def end(self) -> None:
        """Give it back."""
        with self._guard:
            self._objects.delete([self.key])

    @contextmanager
    def kept(self) -> Iterator["Lease"]:
        """Renew it in the background for the time of a `with` block, then give it back.

        A block that raises gives it back too. A lease that was lost stays with its new holder.
        """
        stop = threading.Event()
        thread = threading.Thread(target=self._keep, args=(stop,), daemon=True, name="lease")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            with suppress(ConflictError):
                self.renew()
                self.end()

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._life_s / 4):
            try:
                self.renew()
            except ConflictError:
                return  # the holder notices at its own next renewal
            except InputError as error:
                log.warning("the lease %s could not be renewed: %s", self.key, error.what)


def acquire(
    objects: Objects, key: str, about: dict[str, Any], *, wait_s: float = 0.0, life_s: float = LIFE_S
) -> Lease | None:
    """Take a lease, or return None while somebody else holds it.

    Args:
        objects: The store.
        key: The object.
        about: What the lease shall say beside its holder.
        wait_s: Try for so many seconds.
        life_s: Seconds after which an unrenewed lease is dead; the same for all who use this key.
    """
    holder = f"{socket.gethostname()} pid {os.getpid()}"
    record = {**about, "holder": holder, "token": uuid.uuid4().hex, "renewals": 0}
    deadline = time.monotonic() + wait_s
    while True:
        held = objects.read(key)
        if held is None or held.age_s > life_s:
            with suppress(ConflictError):
                etag = _write(objects, key, record, ABSENT if held is None else held.etag)
                return Lease(objects, key, record, etag, life_s)
        if time.monotonic() >= deadline:
            return None
        time.sleep(min(1.0, life_s / 4))


def _write(objects: Objects, key: str, record: dict[str, Any], condition: str) -> str:
    try:
        return objects.write(key, record, condition)
    except ConflictError:
        # A write whose answer was lost is sent again, and then meets itself.
        now = objects.read(key)
        if now is None or now.data != record:
            raise
        return now.etag
