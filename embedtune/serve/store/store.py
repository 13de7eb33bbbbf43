"""Releases in an object store: uploaded aside, published by one small object, downloaded with every hash verified.

Under the prefix stand `releases/ID.json` (a published release: its files, their hashes, where they are),
`plans/ID.json` (its re-index plan), `data/ID-TOKEN/…` (the files), `uploads/ID-TOKEN.json` (leases of uploads and
deletions under way), `live.json` (which release is live, and which were before) and `lock.json` (held by whoever
changes that).
"""

import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.release.record import Live, Published, read_release_files
from embedtune.serve.store.lease import LIFE_S, Lease, acquire
from embedtune.serve.store.objects import ABSENT, ConflictError, Objects

log = logging.getLogger(__name__)
LIVE, LOCK = "live.json", "lock.json"
REMEMBERED = 20  # releases that were live before, newest last


class ReleaseStore:
    """The releases under `s3://bucket/prefix`.

    Args:
        uri: The address.
        storage: Which store.
        secrets: Its credentials.
        life_s: Seconds after which an upload or a change that gives no sign of life is taken for dead.
    """

    def __init__(self, uri: str, storage: StorageSettings, secrets: Secrets, life_s: float = LIFE_S) -> None:
        self.objects = Objects(uri, storage, secrets)
        self._life_s = life_s

    def publish(self, release: Path, origin: Mapping[str, str]) -> Published:
        """Upload a release directory, verify what arrived, and publish it. One that is there already is kept.

        Args:
            release: A directory that `build_release` made.
            origin: What it was made from, by fingerprint; kept with the release.

        Raises:
            ArtifactError: A file differs from its hash, here or in the store.
            InputError: The store refuses or does not answer.
        """
        self.clean()
        about, hashes = read_release_files(release)
        name = str(about["id"])
        if found := self._find(name):
            log.info("release %s is published already", name)
            return found
        part = f"{name}-{uuid.uuid4().hex[:8]}"
        data = f"data/{part}/"
        lease = acquire(self.objects, _upload(part), {"data": data, "files": sorted(hashes)}, life_s=self._life_s)
        assert lease is not None  # noqa: S101 - nobody else knows this key
        with lease.kept():
            for path, digest in hashes.items():
                self.objects.upload(release / path, data + path)
                if (arrived := self.objects.sha256(data + path)) != digest:
                    raise ArtifactError("a file arrived changed", got=f"{path}: {arrived}", expected=digest)
            size = sum((release / path).stat().st_size for path in hashes)
            record = {"published": _now(), "data": data, "hashes": hashes, "size": size, "about": about}
            record["origin"] = dict(origin)
            # Whoever takes this upload for dead takes the lease first: then the renewal fails, and so does this.
            lease.renew()
            try:
                self.objects.write(_pointer(name), record, ABSENT)
            except ConflictError:
                log.info("release %s was published by another process meanwhile", name)
                self.objects.delete([data + path for path in hashes])
        return self.show(name)

    def add_plan(self, name: str, plan: dict[str, Any]) -> None:
        """Keep the re-index plan of a release beside it."""
        self.objects.write(_plan(name), plan)

    def plan(self, name: str) -> dict[str, Any] | None:
        """Return the re-index plan of a release, or None if none was made."""
        found = self.objects.read(_plan(name))
        return found.data if found else None

    def show(self, name: str) -> Published:
        """Return a published release.

        Raises:
            InputError: There is none of this id.
        """
        if found := self._find(name):
            return found
        known = [release.id for release in self.releases()]
        raise InputError(
            f"{self.objects.uri} holds no such release", got=name, expected=", ".join(known) or "none is published"
        )

    def releases(self) -> list[Published]:
        """Return the published releases, the newest first."""
        names = [key.removeprefix("releases/").removesuffix(".json") for key in self.objects.keys("releases/")]
        found = [release for name in names if (release := self._find(name))]
        return sorted(found, key=lambda release: (release.published, release.id), reverse=True)

    def download(self, name: str, into: Path) -> Path:
        """Bring a release to `into/ID`, every file verified, and return the directory; it is whole or not there.

        Raises:
            InputError: There is none of this id, or the store does not answer.
            ArtifactError: A file in the store differs from its hash.
        """
        release = self.show(name)
        target, draft = into / name, into / f".{name}.draft"
        if target.is_dir():
            try:
                read_release_files(target)
                return target
            except ArtifactError as error:
                log.warning("downloading release %s again: %s", name, error.what)
                shutil.rmtree(target)
        shutil.rmtree(draft, ignore_errors=True)
        for path, digest in release.hashes.items():
            file = (draft / path).resolve()
            if not file.is_relative_to(draft.resolve()):
                raise ArtifactError("a file of the release leads out of its directory", got=path)
            if (got := self.objects.download(release.data + path, file)) != digest:
                raise ArtifactError(
                    f"release {name} is damaged in the store",
                    got=f"{path}: {got}",
                    expected=digest,
                    fix="go back to another release; delete this one and publish it again",
                )
        draft.replace(target)
        return target

    def live(self) -> Live | None:
        """Return which release is live, or None while there is none."""
        found = self.objects.read(LIVE)
        if found is None:
            return None
        return Live(found.data["id"], found.data["since"], tuple(found.data["before"]), found.etag)

    def set_live(self, name: str, *, back: bool = False) -> Live:
        """Record that a release is live now; to be called while `locked`.

        Args:
            name: The release.
            back: It was live before, and those since then are forgotten.

        Raises:
            ConflictError: Another process changed the record meanwhile.
        """
        now = self.live()
        if now is not None and now.id == name:
            return now
        before = [*(now.before if now else ()), *([now.id] if now else [])]
        if back and name in before:
            before = before[: len(before) - 1 - before[::-1].index(name)]
        record = {"id": name, "since": _now(), "before": before[-REMEMBERED:]}
        self.objects.write(LIVE, record, ABSENT if now is None else now.etag)
        changed = self.live()
        assert changed is not None  # noqa: S101 - just written, and never deleted
        return changed

    @contextmanager
    def locked(self) -> Iterator[Lease]:
        """Hold the store's lock: one process at a time changes what is live. Renew it before a change.

        Raises:
            InputError: Another one holds it.
        """
        # Longer than a lease lives, so that a dead holder does not stand in the way.
        lease = acquire(self.objects, LOCK, {}, wait_s=self._life_s + 5, life_s=self._life_s)
        if lease is None:
            held = self.objects.read(LOCK)
            raise InputError(
                "another process is changing what is live",
                got=held.data["holder"] if held else "one that has just ended",
                fix="wait for it and try again",
            )
        with lease.kept():
            yield lease

    def prune(self, keep: int) -> list[str]:
        """Delete old releases and return their ids; the live one and the one before it always stay.

        Args:
            keep: So many of the newest stay beside them.

        Raises:
            InputError: No release is recorded as live, so any of the old ones may be the one that is served.
        """
        self.clean()
        with self.locked():
            now = self.live()
            safe = {now.id, *now.before[-1:]} if now else set()
            old = [release for release in self.releases()[keep:] if release.id not in safe]
            if old and now is None:
                raise InputError(
                    "no release is recorded as live, so one that is served might be deleted",
                    got=", ".join(release.id for release in old),
                    fix="embedtune release promote ID of the one that is served, then prune",
                )
            for release in old:
                self._delete(release)
        return [release.id for release in old]

    def clean(self) -> list[str]:
        """Delete what dead uploads and deletions left behind, and return where it stood."""
        gone = []
        for key in self.objects.keys("uploads/"):
            held = self.objects.read(key)
            if held is None or held.age_s <= self._life_s:
                continue
            about = {name: held.data[name] for name in ("data", "files")}
            lease = acquire(self.objects, key, about, life_s=self._life_s)
            if lease is None:
                continue
            with lease.kept():
                found = self._find(about["data"].split("/")[1].rpartition("-")[0])
                if found is None or found.data != about["data"]:
                    self._delete_files(about["data"], about["files"])
                    gone.append(about["data"])
                    log.info("deleted what %s left behind at %s", held.data["holder"], about["data"])
        return gone

    def _delete(self, release: Published) -> None:
        about = {"data": release.data, "files": sorted(release.hashes)}
        part = release.data.split("/")[1]
        # With this lease there, a deletion that is interrupted is finished by the next `clean`.
        lease = acquire(self.objects, _upload(part), about, life_s=self._life_s)
        if lease is None:
            return
        with lease.kept():
            self.objects.delete([_pointer(release.id), _plan(release.id)])
            self._delete_files(release.data, about["files"])

    def _delete_files(self, data: str, files: Iterable[str]) -> None:
        self.objects.abort_parts([data + path for path in files])
        self.objects.delete(self.objects.keys(data))

    def _find(self, name: str) -> Published | None:
        found = self.objects.read(_pointer(name))
        return Published(name, **found.data) if found else None


def _pointer(name: str) -> str:
    return f"releases/{name}.json"


def _plan(name: str) -> str:
    return f"plans/{name}.json"


def _upload(part: str) -> str:
    return f"uploads/{part}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
