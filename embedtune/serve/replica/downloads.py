"""The releases that a replica has on disk: its own, and a cache that outlives it and that others may share."""

import fcntl
import hashlib
import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from embedtune.serve.release.record import Release, short
from embedtune.serve.store.directory import link_or_copy
from embedtune.serve.store.downloads import record_file
from embedtune.serve.store.store import WHOLE, ReleaseStore

log = logging.getLogger(__name__)
DRAFT_S = 86_400.0


@dataclass(frozen=True)
class Downloads:
    """The releases of one store on this machine.

    Args:
        store: The store.
        folder: Where this replica has its own, which gateways read too.
        cache: A folder that outlives the replica, of this store only; None: there is none.
    """

    store: ReleaseStore
    folder: Path
    cache: Path | None = None

    def fetch(self, name: str) -> Release:
        """Return a verified release: this replica's own, from the cache, or from the store.

        Raises:
            EmbedtuneError: It is damaged, is not signed as it must be, or the store does not give it.
        """
        if self.cache is None or self._own(name):
            return self.store.download(name, self.folder)
        try:
            if (self.cache / name).is_dir() and (release := self._copied(name)):
                return release
            with _alone(self.cache, name):
                self.store.download(name, self.cache)
                return self._copied(name) or self.store.download(name, self.folder)
        except OSError as error:
            log.warning("the cache %s cannot be used: %s", self.cache, error)
            return self.store.download(name, self.folder)

    def has(self, name: str) -> bool:
        """Return whether a release is on this machine, without looking into it."""
        return self._own(name) or (self.cache is not None and (self.cache / name).is_dir())

    def tidy(self, keep: Collection[str]) -> None:
        """Delete what earlier runs left behind, and from the cache what no replica is to load any more.

        Args:
            keep: The releases that stay.
        """
        for folder in filter(None, (self.folder, self.cache)):
            for name in _names(folder) - {*keep}:
                log.info("deleting release %s from %s", short(name), folder)
                _remove(folder, name)
            for draft in folder.glob(".*.draft"):
                with suppress(FileNotFoundError):
                    if time.time() - draft.stat().st_mtime > DRAFT_S:
                        shutil.rmtree(draft, ignore_errors=True)

    def _own(self, name: str) -> bool:
        return (self.folder / name).is_dir()

    def _copied(self, name: str) -> Release | None:
        """Return this replica's own copy of what is in the cache; None: that is not of use."""
        assert self.cache is not None  # noqa: S101 - the caller has looked
        found, draft = self.store.downloaded(name, self.cache), self.folder / f".{name}.draft"
        if found is None:
            return None
        shutil.rmtree(draft, ignore_errors=True)
        for path in found.record.hashes:
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(found.path / path, draft / path)
        link_or_copy(record_file(self.cache, name), record_file(self.folder, name))
        draft.replace(self.folder / name)
        return self.store.download(name, self.folder)


def cache_of(folder: Path, store: str) -> Path:
    """Return the part of a cache that belongs to one store.

    Args:
        folder: The cache.
        store: The store, with its host.
    """
    return folder / hashlib.sha256(store.encode()).hexdigest()[:16]


def _names(folder: Path) -> set[str]:
    """Return the ids of the releases in a folder."""
    return {path.name for path in folder.glob("*") if path.is_dir() and len(path.name) == WHOLE}


def _remove(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name, ignore_errors=True)
    for file in (record_file(folder, name), folder / f".{name}.lock"):
        with suppress(OSError):
            file.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Keep other replicas from downloading the same release to the same place meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
