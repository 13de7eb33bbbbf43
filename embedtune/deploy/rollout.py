"""Makes a release live: switch, smoke test, record; if any of these fails, the previous release is live again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from embedtune.core.errors import EmbedtuneError, GateError, InputError
from embedtune.core.progress import Progress
from embedtune.deploy.site import ServingSite
from embedtune.deploy.smoke import Smoke, ask, read_reference, require
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.store.lease import Lease
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.store import ReleaseStore

log = logging.getLogger(__name__)


def go_live(site: ServingSite, release: Release, progress: Progress, *, back: bool = False) -> Smoke:
    """Make a release the live one.

    Args:
        site: The serving site.
        release: The release.
        progress: Updated during the smoke test.
        back: It was live before; those that were live since then are forgotten.

    Raises:
        GateError: It does not become ready or returns wrong vectors; the previous release is live again.
        InputError: Its id has to be set elsewhere first (`release.owner=values`), or a store or cluster refuses.
        ArtifactError: The record of the live release is unreadable.
        ConflictError: This process was presumed dead, and another one is changing the live release.
    """
    with _locked(site.store) as lease:
        before, served = site.before(), site.serving.current()
        try:
            if {before, served} != {release.id}:
                site.serving.switch(release)
            smoke = smoke_test(site, release, progress)
            if site.store and lease:
                lease.renew()
                site.store.set_live(release.id, back=back)
        except (
            BaseException
        ) as error:  # Even Ctrl-C must not leave an untested release live; the error is raised again below.
            if site.release.owner == "deploy" and before != release.id and not _lost(lease):
                _go_back(site, before, release.id, error)
            raise
    log.info("release %s is live", release.id)
    return smoke


def previous(site: ServingSite) -> str:
    """Return the id of the release that was live before the current one and still exists.

    Raises:
        InputError: There is none, or there is no store to record it.
    """
    if site.store is None:
        raise InputError(
            "no release history: without release.uri, embedtune does not record what was live",
            fix="run `embedtune release promote ID` with an id from cache/releases, or set release.uri",
        )
    live = site.store.live()
    existing = {release.id for release in site.store.releases()}
    for name in reversed(live.before if live else ()):
        if name in existing:
            return name
    raise InputError(
        "there is no release to go back to",
        got=f"live: {live.id}" if live else "nothing is live",
        fix="run `embedtune release list`, then `embedtune release promote ID`",
    )


def smoke_test(site: ServingSite, release: Release, progress: Progress) -> Smoke:
    """Compare the endpoint's vectors with those of the checkpoint that the release was made from.

    Raises:
        GateError: A text drifted further than `deploy.min_cosine`, or the precision, allows.
    """
    encoder = site.connect(release.contract, release.model_name)
    smoke = ask(encoder, read_reference(release.path / REFERENCE_FILE, site.deploy.smoke_texts), progress)
    limit = site.deploy.min_cosine
    require(smoke, site.export.min_cosine(release.record.precision) if limit is None else limit)
    return smoke


def _go_back(site: ServingSite, before: str | None, name: str, error: BaseException) -> None:
    action = f"going back to {before}" if before else "withdrawing it"
    log.warning("release %s is not live; %s", name, action)
    try:
        if before is None:
            site.serving.withdraw()
        else:
            site.serving.restore(before)
    except EmbedtuneError as second:
        raise GateError(
            f"release {name} failed, and {action} failed too",
            got=f"{error}\nthen: {second}",
            fix=f"run `embedtune release promote {before}`" if before else second.fix,
        ) from error
    if isinstance(error, EmbedtuneError):
        now = f"{before} is live again" if before else "nothing is live"
        raise GateError(f"release {name} failed; {now}", got=error, fix=error.fix) from error


@contextmanager
def _locked(store: ReleaseStore | None) -> Iterator[Lease | None]:
    if store is None:
        yield None
        return
    with store.locked() as lease:
        yield lease


def _lost(lease: Lease | None) -> bool:
    """Return whether another process holds the lock now and decides which release is served."""
    try:
        if lease:
            lease.renew()
    except ConflictError:
        log.warning("another process holds the lock now and decides which release is served")
        return True
    except EmbedtuneError as error:
        log.warning("the lock could not be renewed, but no other process is known to hold it: %s", error)
    return False
