"""The pointer of a release store: which release is live and which is to follow, and the lock to change it."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from embedtune.core.errors import ArtifactError, InputError, StoreAwayError
from embedtune.serve.store.lease import Lease, acquire
from embedtune.serve.store.objects import ABSENT, ConflictError, Objects, Small
from embedtune.serve.store.records import Candidate, LeaseRecord, Pointer, timestamp

ID = re.compile("[0-9a-f]{64}")
POINTER, LOCK, PROBE = "pointer.json", "lock.json", "probe.json"
RELEASES = "releases/"  # one object per published release
OLD_POINTER = "live.json"  # of embedtune 0.1
REMEMBERED = 20  # releases that were live before
# While a switch may come at any moment, a replica that has not read the pointer for this long answers 503 …
FENCE_S = 5.0
# … and a switch is announced this long ahead, so that each replica knows it or has stopped answering by then. The
# margin covers clocks that count whole seconds, and the time until what was written can be read.
AHEAD_S = FENCE_S + 5.0
SOON_S = 2.0  # the store's time is older than that: it is asked again
OPEN_S = 120.0  # a candidate can be switched to for this long after it was proposed or extended


def read_pointer(objects: Objects) -> Pointer:
    """Return the pointer; an empty one if none was written yet.

    Raises:
        ArtifactError: It is damaged or has another format, so the live release is unknown.
    """
    return _read(objects)[0]


def parse_pointer(objects: Objects, found: Small | None) -> Pointer:
    """Return the pointer that was read; an empty one if none was written yet.

    Args:
        objects: The store.
        found: Its object; None: there is none.

    Raises:
        ArtifactError: It is damaged or has another format, so the live release is unknown.
    """
    if found is not None:
        with stop_if_unreadable(objects):
            return found.parse(Pointer)
    if objects.read(OLD_POINTER) is not None:
        raise ArtifactError(
            f"{objects.uri} holds the releases of an earlier version of embedtune",
            got=OLD_POINTER,
            expected=POINTER,
            fix=f"delete {objects.uri}{OLD_POINTER}, run `embedtune deploy` again, then delete the old releases",
        )
    return Pointer()


def require_whole_ids(pointer: Pointer) -> None:
    """Refuse a pointer that names a release otherwise than by its whole id: it was written by hand, or is damaged.

    Raises:
        ArtifactError: It does; nobody may act on it.
    """
    candidate = pointer.candidate
    for name in (pointer.live, pointer.kept, candidate.id if candidate else None):
        if name is not None and not ID.fullmatch(name):
            raise ArtifactError(
                f"{POINTER} names a release that cannot exist",
                got=ascii(name)[:100],
                expected="64 digits from 0 to f",
                fix=f"run `{Pointer.REMAKE}`",
            )


def begin(objects: Objects) -> None:
    """Write an empty pointer into a new store, so that one that is missing later is known to be lost.

    Raises:
        ArtifactError: The store is that of an earlier version of embedtune.
    """
    if objects.read(POINTER) is None and not objects.keys(RELEASES):
        with suppress(ConflictError):
            objects.write(POINTER, read_pointer(objects), ABSENT)


def require_pointer(objects: Objects) -> None:
    """Refuse a store with releases whose pointer is lost, which must not count as "nothing is live".

    Raises:
        ArtifactError: There is no pointer, but there are releases.
    """
    if objects.read(POINTER) is None and objects.keys(RELEASES):
        raise ArtifactError(
            "it is not known which release is live: the record of it is lost",
            got=f"releases, but no {objects.uri}{POINTER}",
            fix=f"run `{Pointer.REMAKE}` for the one that is being served; if none is, delete "
            f"{objects.uri}{RELEASES}",
        )


def answering(pointer: Pointer, now: float) -> str | None:
    """Return the release that answers clients.

    Args:
        pointer: The pointer.
        now: Seconds since 1970 by the store's clock.
    """
    return pointer.live if now >= pointer.switch_at else pointer.kept


def switching(pointer: Pointer, now: float) -> bool:
    """Return whether the answering release may change at any moment, so that old knowledge must not be trusted."""
    candidate = pointer.candidate
    return now < pointer.switch_at or (candidate is not None and not candidate.hold and now < candidate.until)


def wanted(pointer: Pointer, now: float) -> list[str]:
    """Return the releases that a replica loads, the most urgent first; at most two."""
    candidate = pointer.candidate
    if candidate and candidate.alone:
        return [candidate.id]
    # The one before the live one makes room for a candidate.
    names = [answering(pointer, now), pointer.live, candidate.id if candidate else pointer.kept]
    return list(dict.fromkeys(name for name in names if name is not None))


def propose(objects: Objects, candidate: Candidate) -> None:
    """Record the candidate, which replaces an earlier one; to be called while `locked`.

    Raises:
        ConflictError: Another process changed the pointer in the meantime.
        ArtifactError: The pointer is damaged or has another format.
    """
    now, etag = _read(objects)
    open_candidate = candidate.model_copy(update={"until": objects.now() + OPEN_S})
    objects.write(POINTER, now.model_copy(update={"candidate": open_candidate}), etag)


def extend(objects: Objects, token: str) -> None:
    """Leave the candidate of one attempt open for longer; to be called while `locked`.

    Raises:
        ConflictError: Another process changed the pointer in the meantime.
    """
    candidate = _read(objects)[0].candidate
    if candidate is None or candidate.token != token:
        raise ConflictError(f"{objects.uri}{POINTER} was changed by another process")
    propose(objects, candidate)


def withdraw(objects: Objects, token: str) -> None:
    """Remove the candidate of one attempt, if it is still there; to be called while `locked`."""
    now, etag = _read(objects)
    if now.candidate and now.candidate.token == token:
        objects.write(POINTER, now.model_copy(update={"candidate": None}), etag)


def switch(objects: Objects, token: str) -> Pointer:
    """Make the candidate of one attempt the live release; to be called while `locked`.

    Returns:
        The pointer, with the moment of the switch.

    Raises:
        ConflictError: Another process changed the pointer in the meantime.
        ArtifactError: The pointer is damaged or has another format.
        StoreAwayError: The store did not answer at once. It may have been written.
    """
    now, etag = _read(objects)
    candidate, prompt, asked = now.candidate, objects.prompt(), time.monotonic()
    if candidate is None or candidate.token != token:
        raise ConflictError(f"{objects.uri}{POINTER} was changed by another process")
    moment = prompt.now()
    if moment >= candidate.until:
        raise ConflictError(f"the candidate in {objects.uri}{POINTER} was left alone for too long")
    before = [*now.before, now.live] if now.live else []
    if candidate.back and candidate.id in before:
        before = before[: len(before) - 1 - before[::-1].index(candidate.id)]
    record = Pointer(
        live=candidate.id,
        since=timestamp(),
        # Where nothing has answered meanwhile, nothing can be mixed.
        switch_at=moment + AHEAD_S if now.live not in (None, candidate.id) and not candidate.alone else 0.0,
        kept=None if candidate.alone else now.live,
        before=tuple(before[-REMEMBERED:]),
    )
    if time.monotonic() - asked > SOON_S:
        raise StoreAwayError(f"{objects.uri} answers too slowly to announce a switch")
    prompt.write(POINTER, record, etag)
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
            fix=f"note which release is being served, delete {objects.uri}{POINTER}, then run "
            f"`{Pointer.REMAKE}` for it (if that cannot read it either, delete {objects.uri}{RELEASES} and deploy "
            "again)",
        ) from error


@contextmanager
def locked(objects: Objects, life_s: float) -> Iterator[Lease]:
    """Hold the store's lock: one process at a time changes the pointer.

    Args:
        objects: The store.
        life_s: Seconds without a renewal after which its holder is presumed dead.

    Raises:
        InputError: Another process holds it, or the store does not honour conditional writes.
    """
    require_conditional_writes(objects)
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


def require_conditional_writes(objects: Objects) -> None:
    """Refuse a store that ignores the conditions of a write, where a lock would exclude nobody.

    Raises:
        InputError: It wrote although the condition was not met.
    """
    record = LeaseRecord(holder="a test of conditional writes", token="", renewals=0)
    with suppress(ConflictError):
        objects.write(PROBE, record, ABSENT)
    for condition, header in ((ABSENT, "If-None-Match"), ("0" * 32, "If-Match")):
        try:
            objects.write(PROBE, record, condition)
        except ConflictError:
            continue
        raise InputError(
            "the object store ignores conditional writes, so two deployments at once would both go live",
            got=f"{objects.uri}{PROBE} was overwritten in spite of {header}",
            expected="409 or 412, as of AWS S3, MinIO, Ceph and SeaweedFS from 4.0 on",
            fix="keep releases in such a store (release.uri)",
        )


def _read(objects: Objects) -> tuple[Pointer, str]:
    """Return the pointer and the condition on which it may be replaced."""
    found = objects.read(POINTER)
    return parse_pointer(objects, found), found.etag if found else ABSENT


def _holder(objects: Objects) -> str:
    if (held := objects.read(LOCK)) is None:
        return "a process that has just finished"
    with suppress(ArtifactError):
        return held.parse(LeaseRecord).holder
    return "a process with a different version of embedtune"
