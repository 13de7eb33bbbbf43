"""Makes a release live: every replica loads and proves it next to the live one, then all switch at one moment."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from embedtune.core.errors import EmbedtuneError, GateError, InputError, StoreAwayError
from embedtune.core.progress import Progress
from embedtune.core.records.deployment import EndpointDrift
from embedtune.deploy.site import ServingSite
from embedtune.deploy.stuck_pods import stuck_pods
from embedtune.serve.release.record import short
from embedtune.serve.store import pointer
from embedtune.serve.store.lease import Lease
from embedtune.serve.store.objects import ConflictError, Objects
from embedtune.serve.store.records import Candidate, Published
from embedtune.serve.store.replicas import Replica, read_replicas

log = logging.getLogger(__name__)
POLL_S = 0.3
LOOK_S = 3.0  # without progress until the pods are looked at, and between two looks
SWITCH_S = 60.0  # the longest outage of the store at a switch
NOBODY_S = 60.0  # a cluster whose pods start just now has that long to report


@dataclass(frozen=True)
class Rollout:
    """What became of a release.

    Args:
        release: The release.
        before: Id of the release that was live before it; None if there was none.
        drift: How close its vectors are, on the replica where they are furthest from the trained ones.
        live: Whether it is live; False: it waits for `embedtune release flip`.
    """

    release: Published
    before: str | None
    drift: EndpointDrift
    live: bool


def go_live(
    site: ServingSite, name: str, progress: Progress, *, back: bool = False, hold: bool = False
) -> Rollout:
    """Make a published release the live one, or its candidate.

    Args:
        site: The serving site.
        name: Id of the release.
        progress: Updated as replicas prove it.
        back: It was live before; those that were live since then are forgotten.
        hold: Stop when all replicas have proven it: it answers as candidate until `flip`.

    Raises:
        GateError: A replica cannot load or prove it, or makes no progress; what was live is live.
        InputError: No replica follows the store, or the store refuses.
        ArtifactError: The pointer is unreadable.
        ConflictError: This process was presumed dead, and another one changes the pointer.
    """
    release = site.store.show(name)
    site.start()
    with site.store.locked() as lease:
        now = site.store.pointer()
        if now.live == release.id:
            found = _wait(site, progress, release.id, lambda replica: release.id in replica.record.proven)
            return Rollout(release, now.before[-1] if now.before else None, _furthest(found, release.id), True)
        candidate = Candidate(
            id=release.id,
            token=uuid.uuid4().hex,
            hold=hold,
            alone=site.deploy.memory == "turns" and now.live is not None,
            back=back,
        )
        return _roll_out(site, release, candidate, lease, progress)


def flip(site: ServingSite, name: str, progress: Progress) -> Rollout:
    """Make the candidate the live release.

    Args:
        site: The serving site.
        name: Id of the candidate.
        progress: Updated as replicas confirm.

    Raises:
        InputError: It is not the candidate.
        EmbedtuneError: As for `go_live`; it stays the candidate then.
    """
    release = site.store.show(name)
    with site.store.locked() as lease:
        held = site.store.pointer().candidate
        if held is None or held.id != release.id:
            raise InputError(
                f"release {short(release.id)} is not the candidate",
                got=short(held.id) if held else "there is none",
                fix=f"run `embedtune release promote {short(release.id)}`",
            )
        # A new token: each replica confirms that it knows that a switch may come at any moment.
        candidate = held.model_copy(update={"token": uuid.uuid4().hex, "hold": False})
        return _roll_out(site, release, candidate, lease, progress, after=held)


def previous(site: ServingSite) -> str:
    """Return the id of the release that was live before the current one and still exists.

    Raises:
        InputError: There is none.
    """
    now = site.store.pointer()
    existing = {release.id for release in site.store.releases()}
    for name in reversed(now.before):
        if name in existing:
            return name
    raise InputError(
        "there is no release to go back to",
        got=f"live: {short(now.live)}" if now.live else "nothing is live",
        fix="run `embedtune release list`, then `embedtune release promote ID`",
    )


def _roll_out(
    site: ServingSite,
    release: Published,
    candidate: Candidate,
    lease: Lease,
    progress: Progress,
    after: Candidate | None = None,
) -> Rollout:
    """Propose a candidate, wait for its proof, and switch; if anything fails, `after` is the candidate again."""
    objects, token = site.store.objects, candidate.token
    before = site.store.pointer().live
    lease.renew()
    pointer.propose(objects, candidate)
    try:
        found = _wait(site, progress, release.id, lambda replica: replica.record.token == token, token)
        drift = _furthest(found, release.id)
        if candidate.hold:
            log.info("release %s is proven and answers as candidate", short(release.id))
            return Rollout(release, before, drift, False)
        lease.renew()
        switch_at = _switch(objects, candidate)
    except BaseException as error:  # not even Ctrl-C may leave it where the next moment could make it live
        _withdraw(site, candidate, after, lease)
        if isinstance(error, GateError):
            now = f"{short(before)} is live" if before else "nothing is live"
            raise GateError(f"release {short(release.id)} failed; {now}", got=error, fix=error.fix) from error
        raise
    time.sleep(max(0.0, switch_at - objects.now()))
    # It is live whatever happens now: a replica that has not switched answers 503.
    _wait(site, progress, release.id, lambda replica: replica.record.live == release.id)
    log.info("release %s is live", short(release.id))
    return Rollout(release, before, drift, True)


def _switch(objects: Objects, candidate: Candidate) -> float:
    """Announce the switch, again if the store did not answer at once, and return its moment by the store's clock.

    Raises:
        StoreAwayError: It has not answered for `SWITCH_S`.
        ConflictError: Another process changed the pointer in the meantime.
    """
    deadline = time.monotonic() + SWITCH_S
    while True:
        try:
            return pointer.switch(objects, candidate.token).switch_at
        except StoreAwayError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)
        now = pointer.read_pointer(objects)
        if now.candidate is None and now.live == candidate.id:  # it was written, though no answer came
            return now.switch_at


def _withdraw(site: ServingSite, candidate: Candidate, after: Candidate | None, lease: Lease) -> None:
    try:
        lease.renew()
        if after is None:
            pointer.withdraw(site.store.objects, candidate.token)
        else:
            pointer.propose(site.store.objects, after)
    except ConflictError:
        log.warning("another process holds the lock now and decides which release is served")
    except EmbedtuneError as error:
        log.warning("release %s stays the candidate, but is not live: %s", short(candidate.id), error)


def _wait(
    site: ServingSite, progress: Progress, name: str, done: Callable[[Replica], bool], token: str | None = None
) -> list[Replica]:
    """Wait until all replicas are done, and return them.

    Args:
        site: The serving site.
        progress: Updated as replicas are done.
        name: Id of the release, for errors.
        done: Whether a replica is.
        token: The attempt whose failure ends the wait; None: failures are waited for.

    Raises:
        GateError: A replica failed, or none of those that are not done has made progress for `deploy.timeout_s`.
        InputError: There is no replica.
    """
    seen, since, extended = None, time.monotonic(), time.monotonic()
    stuck = _Stuck(site)
    with progress.task(f"release {short(name)}", None, "replicas") as task:
        counted = 0
        while True:
            replicas = read_replicas(site.store.objects)
            missing = [replica for replica in replicas if not done(replica)]
            if replicas and not missing:
                return replicas
            task.advance(len(replicas) - len(missing) - counted)
            counted = len(replicas) - len(missing)
            _require_no_failure(missing, token)
            if token is not None and time.monotonic() - extended > pointer.OPEN_S / 4:
                pointer.extend(site.store.objects, token)
                extended = time.monotonic()
            steps = [(replica.name, replica.record.instance, replica.record.progress) for replica in missing]
            if steps != seen:
                seen, since = steps, time.monotonic()
            idle_s = time.monotonic() - since
            _require_progress(site, replicas, missing, idle_s, stuck.look() if idle_s > LOOK_S else [])
            time.sleep(POLL_S)


class _Stuck:
    """Says which pods do not come up as soon as that is known, each reason once."""

    def __init__(self, site: ServingSite) -> None:
        self._site = site
        self._looked = float("-inf")
        self._found: list[str] | None = []
        self._said: set[str] = set()

    def look(self) -> list[str]:
        """Return what is known; kubectl is asked now and then, and no longer once it did not answer."""
        now = time.monotonic()
        if self._found is not None and now - self._looked >= LOOK_S:
            self._looked, self._found = now, stuck_pods(self._site.deploy)
        found = self._found or []
        for line in found:
            if line not in self._said:
                log.warning("%s", line)
        self._said.update(found)
        return found


def _require_no_failure(missing: Iterable[Replica], token: str | None) -> None:
    for replica in missing:
        if token is not None and replica.record.failed == token:
            raise GateError(
                f"replica {replica.name} cannot serve it",
                got=replica.record.error,
                fix="correct the cause above, then run the command again",
            )


def _require_progress(
    site: ServingSite, replicas: list[Replica], missing: list[Replica], idle_s: float, stuck: list[str]
) -> None:
    if not replicas and idle_s > min(NOBODY_S, site.deploy.timeout_s):
        raise InputError(
            f"no replica follows {site.store.objects.uri}",
            got="; ".join([f"none after {idle_s:.0f} s", *stuck]),
            fix=site.how_to_start(),
        )
    if idle_s > site.deploy.timeout_s:
        states = "; ".join(
            f"{replica.name}: {replica.record.error or replica.record.doing} (heard of {replica.age_s:.0f} s ago)"
            for replica in missing
        )
        raise GateError(
            f"no progress for {idle_s:.0f} s",
            got="; ".join([states, *stuck]),
            expected="all replicas prove the release",
            fix="see the log of these replicas; deploy.timeout_s is the longest wait without progress",
        )


def _furthest(replicas: Iterable[Replica], name: str) -> EndpointDrift:
    return min((replica.record.proven[name] for replica in replicas), key=lambda drift: drift.cosine.min)
