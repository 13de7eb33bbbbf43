"""The record of which release is live, and the lock of the process that changes it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from embedtune.core.errors import ArtifactError, InputError
from embedtune.serve.store.lease import Lease, acquire
from embedtune.serve.store.objects import ABSENT, Objects
from embedtune.serve.store.records import LeaseRecord, Live

LIVE, LOCK = "live.json", "lock.json"
REMEMBERED = 20  # releases that were live before


def read_live(objects: Objects) -> Live | None:
    """Return which release is live, or None if none is.

    Raises:
        ArtifactError: The record is damaged or has another format, so the live release is unknown.
    """
    return _read(objects)[0]


def write_live(objects: Objects, name: str, *, back: bool) -> Live:
    """Record that a release is live now.

    Args:
        objects: The store.
        name: The release.
        back: It was live before; those that were live since then are forgotten.

    Raises:
        ConflictError: Another process changed the record in the meantime.
        ArtifactError: The record is damaged or has another format.
    """
    now, etag = _read(objects)
    if now is not None and now.id == name:
        return now
    before = [*now.before, now.id] if now else []
    if back and name in before:
        before = before[: len(before) - 1 - before[::-1].index(name)]
    record = Live(id=name, since=timestamp(), before=tuple(before[-REMEMBERED:]))
    objects.write(LIVE, record, etag)
    return record


@contextmanager
def stop_if_unreadable(objects: Objects) -> Iterator[None]:
    """Say how to continue if a record of the live release is unreadable, which must not count as "none"."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(
            f"it is not known which release is live: {error.what}",
            got=error.got,
            expected=error.expected,
            fix=f"note which release is being served, delete {objects.uri}{LIVE}, then run "
            f"`{Live.REMAKE}` for it (or `embedtune deploy`, which publishes it again)",
        ) from error


@contextmanager
def locked(objects: Objects, life_s: float) -> Iterator[Lease]:
    """Hold the store's lock: one process at a time changes the live release.

    Args:
        objects: The store.
        life_s: Seconds without a renewal after which its holder is presumed dead.

    Raises:
        InputError: Another process holds it.
    """
    # Longer than a lease lives, so that a dead holder does not block the next one.
    lease = acquire(objects, LOCK, wait_s=life_s + 5, life_s=life_s)
    if lease is None:
        raise InputError(
            "another process is changing the live release",
            got=_holder(objects),
            fix="wait for it to finish, then try again",
        )
    with lease.kept():
        yield lease


def timestamp() -> str:
    """Return the time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read(objects: Objects) -> tuple[Live | None, str]:
    """Return the record and the condition on which it may be replaced."""
    found = objects.read(LIVE)
    if found is None:
        return None, ABSENT
    with stop_if_unreadable(objects):
        return found.parse(Live), found.etag


def _holder(objects: Objects) -> str:
    if (held := objects.read(LOCK)) is None:
        return "a process that has just finished"
    with suppress(ArtifactError):
        return held.parse(LeaseRecord).holder
    return "a process with a different version of embedtune"
