"""Going live: switch, prove, record; and back to what was live before when any of that fails."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.errors import EmbedtuneError, GateError, InputError
from embedtune.core.progress import Progress
from embedtune.deploy.smoke import Smoke, ask, read_reference, require
from embedtune.serve.release.record import REFERENCE_FILE, Release, read_release
from embedtune.serve.store.lease import Lease
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.store import ReleaseStore

log = logging.getLogger(__name__)


class Serving(Protocol):
    """Where releases are served: this machine or a cluster."""

    def current(self) -> str | None:
        """Return the release that it serves, or None."""

    def switch(self, release: str) -> None:
        """Serve another release, and return when it is ready.

        Raises:
            EmbedtuneError: It does not become ready.
        """

    def withdraw(self) -> None:
        """Stop serving a release that failed, where there is no earlier one, and return when nobody is served.

        Raises:
            EmbedtuneError: It does not stop.
        """


Connect = Callable[[EncoderContract, str], Encoder]


@dataclass(frozen=True)
class Environment:
    """Where a release goes live.

    Args:
        config: The configuration.
        serving: What serves it.
        releases: Folder with one directory a release, named by its id.
        store: Where releases are published; None: only on this machine.
        connect: Makes an encoder of the endpoint, from the contract and the name of the model.
    """

    config: Config
    serving: Serving
    releases: Path
    store: ReleaseStore | None
    connect: Connect

    def release(self, name: str) -> Release:
        """Return a release, verified; downloaded if it is not on this machine.

        Raises:
            InputError: It is nowhere.
            ArtifactError: It is damaged.
        """
        path = self.releases / name
        if self.store is not None and not path.is_dir():
            path = self.store.download(name, self.releases)
        if not path.is_dir():
            raise InputError(f"there is no release {name} on this machine", expected=str(path))
        return read_release(path)

    def before(self) -> str | None:
        """Return the release to go back to: the one recorded as live, else the one that is served."""
        live = self.store.live() if self.store else None
        return live.id if live else self.serving.current()

    def champion(self) -> str | None:
        """Return the fingerprint of the model recorded as live; None if none is, or nobody records.

        What is merely served is no champion: nobody proved it.
        """
        live = self.store.live() if self.store else None
        return self.store.show(live.id).origin.get("model") if self.store and live else None


def go_live(environment: Environment, name: str, progress: Progress, *, back: bool = False) -> Smoke:
    """Make a release the live one.

    Args:
        environment: Where.
        name: The release, published or on this machine.
        progress: Told of the smoke test.
        back: It was live before, and those since then are forgotten.

    Raises:
        GateError: It does not become ready or gives wrong vectors; what was live before is live again, or nothing.
        InputError: It is nowhere, its id is to be set elsewhere first (`release.owner=values`), or a store or
            cluster refuses.
        ArtifactError: It is damaged.
        ConflictError: This process was taken for dead, and another one changes what is live.
    """
    with _locked(environment.store) as lease:
        environment.release(name)  # a mistyped id must not restart what serves
        before = environment.before()
        try:
            if before != name or environment.serving.current() != name:
                environment.serving.switch(name)
            smoke = smoke_test(environment, name, progress)
            if environment.store and lease:
                lease.renew()
                environment.store.set_live(name, back=back)
        except BaseException as error:  # Ctrl-C too must not leave an unproven release live; raised again below
            if environment.config.release.owner == "deploy" and before != name and not _lost(lease):
                _go_back(environment, before, name, error)
            raise
    log.info("release %s is live", name)
    return smoke


def previous(environment: Environment) -> str:
    """Return the release that was live before the present one and is still there.

    Raises:
        InputError: There is none, or no store remembers it.
    """
    if environment.store is None:
        raise InputError(
            "nobody remembers what was live before",
            fix="embedtune release promote ID, one of those in cache/releases, or set release.uri",
        )
    live = environment.store.live()
    there = {release.id for release in environment.store.releases()}
    for name in reversed(live.before if live else ()):
        if name in there:
            return name
    raise InputError(
        "there is no release to go back to",
        got=f"live: {live.id}" if live else "nothing is live",
        fix="embedtune release list, then embedtune release promote ID",
    )


def smoke_test(environment: Environment, name: str, progress: Progress) -> Smoke:
    """Compare what the endpoint gives with what the release's checkpoint gave.

    Raises:
        GateError: A text drifted further than `deploy.min_cosine`, or the precision, allows.
    """
    release, settings = environment.release(name), environment.config.deploy
    encoder = environment.connect(release.contract, release.model_name)
    smoke = ask(encoder, read_reference(release.path / REFERENCE_FILE, settings.smoke_texts), progress)
    limit = settings.min_cosine
    require(smoke, environment.config.export.min_cosine(release.precision) if limit is None else limit)
    return smoke


def _go_back(environment: Environment, before: str | None, name: str, error: BaseException) -> None:
    target = f"going back to {before}" if before else "taking it away"
    log.warning("release %s is not live; %s", name, target)
    try:
        if before is None:
            environment.serving.withdraw()
        else:
            environment.serving.switch(before)
    except EmbedtuneError as second:
        raise GateError(
            f"release {name} failed, and {target} failed too",
            got=f"{error}\nthen: {second}",
            fix=f"embedtune release promote {before}" if before else second.fix,
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
    """Tell whether another process holds the lock now: what is served is for that one to say."""
    try:
        if lease:
            lease.renew()
    except ConflictError:
        log.warning("another process holds the lock now; what is served is left to it")
        return True
    except EmbedtuneError as error:
        log.warning("the lock could not be renewed, but nobody else was seen to hold it: %s", error)
    return False
