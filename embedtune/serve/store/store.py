"""Releases in an object store: uploaded first, published by one small object, downloaded with every hash verified.

Under the prefix are `releases/ID.json` (a published release: its files, their hashes, where they are),
`plans/ID.json` (its re-index plan), `data/ID-TOKEN/…` (the files), `uploads/ID-TOKEN.json` (leases of uploads and
deletions in progress), `live.json` (which release is live, and which were before) and `lock.json` (held by the
process that changes the live release).
"""

import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.deployment import ReindexPlan
from embedtune.core.secrets import Secrets
from embedtune.serve.release.record import RELEASE_FILE, Release, read_release
from embedtune.serve.store.lease import LIFE_S, Lease, acquire
from embedtune.serve.store.live_release import locked, read_live, stop_if_unreadable, timestamp, write_live
from embedtune.serve.store.objects import ABSENT, ConflictError, Objects
from embedtune.serve.store.records import LeaseRecord, Live, Published

log = logging.getLogger(__name__)


class ReleaseStore:
    """The releases under `s3://bucket/prefix`.

    Args:
        uri: The address.
        storage: Which store.
        secrets: Its credentials.
        life_s: Seconds without a sign of life after which an upload or a change is presumed dead.
    """

    def __init__(self, uri: str, storage: StorageSettings, secrets: Secrets, life_s: float = LIFE_S) -> None:
        self.objects = Objects(uri, storage, secrets)
        self._life_s = life_s

    def publish(self, release: Release, model: str) -> Published:
        """Upload a release, verify the uploaded files, and publish it. One that is already published is kept.

        Args:
            release: The release.
            model: Fingerprint of the model artifact it was made from.

        Raises:
            ArtifactError: A file in the store differs from its hash.
            InputError: The store refuses or does not answer.
        """
        self.clean()
        condition = ABSENT
        if there := self.objects.read(_pointer(release.id)):
            try:
                found = there.parse(Published)
                log.info("release %s is already published", release.id)
                return found
            except ArtifactError as error:
                log.warning("republishing release %s: %s", release.id, error.what)
                condition = there.etag
        hashes = {**release.record.files, RELEASE_FILE: file_sha256(release.path / RELEASE_FILE)}
        part = f"{release.id}-{uuid.uuid4().hex[:8]}"
        data = f"data/{part}/"
        lease = acquire(self.objects, _upload(part), data=data, files=sorted(hashes), life_s=self._life_s)
        assert lease is not None  # noqa: S101 - no other process knows this key
        with lease.kept():
            self._upload_files(release.path, data, hashes)
            size = sum((release.path / path).stat().st_size for path in hashes)
            record = Published(
                published=timestamp(), data=data, hashes=hashes, size=size, release=release.record, model=model
            )
            # A process that presumes this upload dead takes its lease first: then this renewal fails.
            lease.renew()
            try:
                self.objects.write(_pointer(release.id), record, condition)
            except ConflictError:
                log.info("release %s was published by another process in the meantime", release.id)
                self.objects.delete([data + path for path in hashes])
        return self.show(release.id)

    def _upload_files(self, folder: Path, data: str, hashes: dict[str, str]) -> None:
        for path, digest in hashes.items():
            self.objects.upload(folder / path, data + path)
            if (arrived := self.objects.sha256(data + path)) != digest:
                raise ArtifactError(
                    "a file of the release was changed before or during its upload",
                    got=f"{path}: {arrived}",
                    expected=digest,
                    fix="run the command again",
                )

    def add_plan(self, name: str, plan: ReindexPlan) -> None:
        """Store the re-index plan of a release next to it."""
        self.objects.write(_plan(name), plan)

    def plan(self, name: str) -> ReindexPlan | None:
        """Return the re-index plan of a release, or None if there is none."""
        found = self.objects.read(_plan(name))
        return found.parse(ReindexPlan) if found else None

    def show(self, name: str) -> Published:
        """Return a published release.

        Raises:
            InputError: There is none with this id.
            ArtifactError: Its record is damaged or has another format.
        """
        if found := self._find(name):
            return found
        known = [release.id for release in self.releases()]
        raise InputError(
            f"there is no such release in {self.objects.uri}",
            got=name,
            expected=", ".join(known) or "none is published",
        )

    def releases(self) -> list[Published]:
        """Return the published releases, newest first; those whose record is unreadable are left out."""
        names = [key.removeprefix("releases/").removesuffix(".json") for key in self.objects.keys("releases/")]
        found = []
        for name in names:
            try:
                release = self._find(name)
            except ArtifactError as error:
                log.warning("%s", error)
                continue
            if release:
                found.append(release)
        return sorted(found, key=lambda release: (release.published, release.id), reverse=True)

    def download(self, name: str, into: Path) -> Release:
        """Download a release to `into/ID` and verify every file; a partial directory is never visible.

        Raises:
            InputError: There is none with this id, or the store does not answer.
            ArtifactError: A file in the store differs from its hash.
        """
        published = self.show(name)
        target, draft = into / name, into / f".{name}.draft"
        if target.is_dir():
            try:
                return read_release(target)
            except ArtifactError as error:
                log.warning("downloading release %s again: %s", name, error.what)
                shutil.rmtree(target)
        shutil.rmtree(draft, ignore_errors=True)
        for path, digest in published.hashes.items():
            file = (draft / path).resolve()
            if not file.is_relative_to(draft.resolve()):
                raise ArtifactError("a path in the release points outside its directory", got=path)
            if (got := self.objects.download(published.data + path, file)) != digest:
                raise ArtifactError(
                    f"release {name} is damaged in the store",
                    got=f"{path}: {got}",
                    expected=digest,
                    fix="switch to another release; delete this one and publish it again",
                )
        draft.replace(target)
        return Release(target, published.release)

    def live(self) -> Live | None:
        """Return which release is live, or None if none is.

        Raises:
            ArtifactError: The record is damaged or has another format, so the live release is unknown.
        """
        return read_live(self.objects)

    def live_release(self) -> Published | None:
        """Return the published release that is live, or None if none is.

        Raises:
            ArtifactError: A record is damaged or has another format, so the live release is unknown.
        """
        live = self.live()
        with stop_if_unreadable(self.objects):
            return self.show(live.id) if live else None

    def set_live(self, name: str, *, back: bool = False) -> Live:
        """Record that a release is live now; to be called while `locked`. See `write_live`."""
        return write_live(self.objects, name, back=back)

    @contextmanager
    def locked(self) -> Iterator[Lease]:
        """Hold the store's lock: one process at a time changes the live release. Renew it before a change.

        Raises:
            InputError: Another process holds it.
        """
        with locked(self.objects, self._life_s) as lease:
            yield lease

    def prune(self, keep: int) -> list[str]:
        """Delete old releases and return their ids; the live one and the one before it always stay.

        Args:
            keep: How many of the newest stay in addition.

        Raises:
            InputError: No release is recorded as live, so any of the old ones may be the one that is served.
            ArtifactError: The record of the live release is damaged or has another format.
        """
        self.clean()
        with self.locked():
            now = self.live()
            safe = {now.id, *now.before[-1:]} if now else set()
            old = [release for release in self.releases()[keep:] if release.id not in safe]
            if old and now is None:
                raise InputError(
                    "no release is recorded as live, so the one being served might be deleted",
                    got=", ".join(release.id for release in old),
                    fix="run `embedtune release promote ID` for the one being served, then prune",
                )
            for release in old:
                self._delete(release)
        return [release.id for release in old]

    def delete(self, names: Sequence[str]) -> None:
        """Delete releases by their ids, but never the live one.

        Raises:
            InputError: One of them is live.
        """
        with self.locked():
            if (now := self.live()) and now.id in names:
                raise InputError("the live release cannot be deleted", got=now.id)
            for name in names:
                self._delete(self.show(name))

    def clean(self) -> list[str]:
        """Delete the files that dead uploads and deletions left behind, and return their folders."""
        gone = []
        for key in self.objects.keys("uploads/"):
            held = self.objects.read(key)
            if held is None or held.age_s <= self._life_s:
                continue
            try:
                left = held.parse(LeaseRecord)
            except ArtifactError as error:
                log.warning("the files that an upload left behind could not be deleted: %s", error.what)
                continue
            if left.data is None:
                continue
            lease = acquire(self.objects, key, data=left.data, files=left.files, life_s=self._life_s)
            if lease is None:
                continue
            with lease.kept():
                if self._is_unused(left.data):
                    self._delete_files(left.data, left.files)
                    gone.append(left.data)
                    log.info("deleted the files that %s left behind at %s", left.holder, left.data)
        return gone

    def _is_unused(self, data: str) -> bool:
        """Return whether no published release has its files there; an unreadable record counts as one that has."""
        try:
            found = self._find(data.split("/")[1].rpartition("-")[0])
        except ArtifactError:
            return False
        return found is None or found.data != data

    def _delete(self, release: Published) -> None:
        files = sorted(release.hashes)
        part = release.data.split("/")[1]
        # Because of this lease, an interrupted deletion is finished by the next `clean`.
        lease = acquire(self.objects, _upload(part), data=release.data, files=files, life_s=self._life_s)
        if lease is None:
            return
        with lease.kept():
            self.objects.delete([_pointer(release.id), _plan(release.id)])
            self._delete_files(release.data, files)

    def _delete_files(self, data: str, files: Iterable[str]) -> None:
        self.objects.abort_parts([data + path for path in files])
        self.objects.delete(self.objects.keys(data))

    def _find(self, name: str) -> Published | None:
        found = self.objects.read(_pointer(name))
        return found.parse(Published) if found else None


def _pointer(name: str) -> str:
    return f"releases/{name}.json"


def _plan(name: str) -> str:
    return f"plans/{name}.json"


def _upload(part: str) -> str:
    return f"uploads/{part}.json"
