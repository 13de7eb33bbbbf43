"""Releases in an object store or a directory: published by one small object, verified by whoever downloads them.

Under the address are `releases/ID.json` (a published release: its record, where its files are), `plans/ID.json`
(its re-index plan), `models/FINGERPRINT.json` (the model it was made from), `data/ID-TOKEN/…` (the files of both),
`uploads/ID-TOKEN.json` (leases of uploads and deletions in progress), `pointer.json` (which release is live and
which is to follow), `replicas/NAME.json` (the state of each replica) and `lock.json` (held by the process that
changes the pointer).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.artifacts import Artifact
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.deployment import ReindexPlan
from embedtune.core.secrets import Secrets
from embedtune.serve.release.record import Release, read_release, short
from embedtune.serve.release.signature import Signing
from embedtune.serve.store.directory import open_objects
from embedtune.serve.store.downloads import download_release, known_release, remember_release
from embedtune.serve.store.keys import parse_published, plan_key, published_key
from embedtune.serve.store.lease import LIFE_S, Lease
from embedtune.serve.store.leftovers import clean
from embedtune.serve.store.models import add_model, delete_unused, find_model, stored_models
from embedtune.serve.store.objects import ABSENT, Objects
from embedtune.serve.store.pointer import begin, locked, read_pointer, require_pointer, stop_if_unreadable
from embedtune.serve.store.records import Pointer, Published, timestamp
from embedtune.serve.store.uploads import Upload, publish_files, unpublish

log = logging.getLogger(__name__)
UNSIGNED = Signing()
SHORTEST, WHOLE = 8, 64  # characters of an id that name a release, and of a complete one


class ReleaseStore:
    """The releases of one service.

    Args:
        uri: `s3://bucket/prefix`, or a directory of this machine.
        storage: Which store.
        secrets: Its credentials.
        life_s: Seconds without a sign of life after which an upload or a change is presumed dead.
        signing: Keys that sign what is published, and that what is downloaded must be signed with.
    """

    def __init__(
        self,
        uri: str,
        storage: StorageSettings,
        secrets: Secrets,
        life_s: float = LIFE_S,
        signing: Signing = UNSIGNED,
    ) -> None:
        self.objects: Objects = open_objects(uri, storage, secrets)
        self._life_s = life_s
        self.signing = signing

    def publish(self, release: Release, model: str) -> Published:
        """Upload a release, verify the uploaded files, and publish it. One that is already published is kept.

        Args:
            release: The release.
            model: Fingerprint of the model artifact it was made from.

        Raises:
            ArtifactError: A file in the store differs from its hash.
            InputError: The store refuses or does not answer.
        """
        begin(self.objects)
        self.clean()
        condition, signature = ABSENT, self.signing.sign(release.id)
        if there := self.objects.read(published_key(release.id)):
            try:
                found = parse_published(there, release.id)
                log.info("release %s is already published", short(release.id))
                if signature not in (None, found.signature):
                    found = found.model_copy(update={"signature": signature})
                    self.objects.write(published_key(release.id), found, there.etag)
                return found
            except ArtifactError as error:
                log.warning("republishing release %s: %s", short(release.id), error.what)
                condition = there.etag
        upload = Upload(published_key(release.id), release.id, release.path, release.record.hashes)

        def record(data: str) -> Published:
            return Published(
                published=timestamp(),
                data=data,
                size=upload.size,
                release=release.record,
                model=model,
                signature=signature,
            )

        publish_files(self.objects, upload, record, condition, self._life_s)
        return self.show(release.id)

    def add_model(self, model: Artifact) -> None:
        """Store the model that a release is made from. See `models.add_model`."""
        add_model(self.objects, model, self._life_s)

    def model_address(self, fingerprint: str) -> str | None:
        """Return the address of a stored model, or None if the store does not hold it.

        Raises:
            ArtifactError: Its record is damaged or has another format.
        """
        stored = find_model(self.objects, fingerprint)
        return self.objects.uri + stored.data if stored else None

    def add_plan(self, name: str, plan: ReindexPlan) -> None:
        """Store the re-index plan of a release next to it."""
        self.objects.write(plan_key(name), plan)

    def plan(self, name: str) -> ReindexPlan | None:
        """Return the re-index plan of a release, or None if there is none."""
        found = self.objects.read(plan_key(name))
        return found.parse(ReindexPlan) if found else None

    def show(self, name: str) -> Published:
        """Return a published release.

        Args:
            name: Its id, or the beginning of it that people see.

        Raises:
            InputError: There is none with this id.
            ArtifactError: Its record is damaged, has another format, or is that of another release.
        """
        if len(name) == WHOLE and (found := self._find(name)):
            return found
        known = self._ids()
        fitting = [entry for entry in known if entry.startswith(name)] if len(name) >= SHORTEST else []
        if len(fitting) == 1 and (found := self._find(fitting[0])):
            return found
        raise InputError(
            f"there is no such release in {self.objects.uri}",
            got=name,
            expected=", ".join(map(short, known)) or "none is published",
        )

    def releases(self) -> list[Published]:
        """Return the published releases, newest first; those whose record is unreadable are left out."""
        found = []
        for name in self._ids():
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

        An interrupted download goes on where it was. One that is complete needs no store: its record is kept next
        to it.

        Raises:
            InputError: There is none with this id, or the store does not answer.
            ArtifactError: A file in the store differs from its hash, or the release is not signed as it must be.
        """
        published = self._known(name, into)
        if published is None:
            published = self.show(name)
            self.signing.require(published.id, published.signature)
            remember_release(into, published)
        return download_release(self.objects, published, into)

    def pointer(self) -> Pointer:
        """Return which release is live and which is to follow.

        Raises:
            ArtifactError: The record is damaged or has another format, so the live release is unknown.
        """
        return read_pointer(self.objects)

    def live_release(self) -> Published | None:
        """Return the published release that is live, or None if none is.

        Raises:
            ArtifactError: A record is lost, damaged or has another format, so the live release is unknown.
        """
        live = self.pointer().live
        if live is None:
            require_pointer(self.objects)
        with stop_if_unreadable(self.objects):
            return self.show(live) if live else None

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
            now = self.pointer()
            safe = {now.live, now.kept, *now.before[-1:], now.candidate.id if now.candidate else None}
            old = [release for release in self.releases()[keep:] if release.id not in safe]
            if old and now.live is None:
                raise InputError(
                    "no release is recorded as live, so the one being served might be deleted",
                    got=", ".join(short(release.id) for release in old),
                    fix="run `embedtune release promote ID` for the one being served, then prune",
                )
            for release in old:
                self._delete(release)
            self._delete_unused_models()
        return [release.id for release in old]

    def delete(self, names: Sequence[str]) -> None:
        """Delete releases by their ids, but never the live one.

        Raises:
            InputError: One of them is live.
        """
        with self.locked():
            found, live = [self.show(name) for name in names], self.pointer().live
            if live in [release.id for release in found]:
                raise InputError("the live release cannot be deleted", got=short(str(live)))
            for release in found:
                self._delete(release)
            self._delete_unused_models()

    def clean(self) -> list[str]:
        """Delete the files that dead uploads and deletions left behind, and return their folders."""
        return clean(self.objects, self._life_s, self._is_unused)

    def _is_unused(self, data: str) -> bool:
        """Return whether nothing published has its files there; an unreadable record counts as one that has."""
        try:
            start = data.split("/")[1].rpartition("-")[0]
            found = [self._find(name) for name in self._ids() if name.startswith(start)]
            models = stored_models(self.objects, start)
        except ArtifactError:
            return False
        return all(one is None or one.data != data for one in (*found, *models))

    def _delete(self, release: Published) -> None:
        keys = [published_key(release.id), plan_key(release.id)]
        unpublish(self.objects, keys, release.data, release.release.hashes, self._life_s)

    def _delete_unused_models(self) -> None:
        try:
            used = {release.model for name in self._ids() if (release := self._find(name))}
        except ArtifactError as error:
            log.warning("no model is deleted, since it is not known which ones are used: %s", error.what)
            return
        delete_unused(self.objects, used, self._life_s)

    def downloaded(self, name: str, into: Path) -> Release | None:
        """Return a release that was downloaded before, verified without the store; None: it is not of use."""
        try:
            return read_release(into / name, name) if self._known(name, into) else None
        except ArtifactError as error:
            log.warning("the download of release %s cannot be used: %s", short(name), error)
            return None

    def _known(self, name: str, into: Path) -> Published | None:
        """Return the record of a download; None: there is none, or the store may have a better signature."""
        published = known_release(into, name)
        if published is not None:
            try:
                self.signing.require(published.id, published.signature)
            except ArtifactError:
                return None
        return published

    def _find(self, name: str) -> Published | None:
        found = self.objects.read(published_key(name))
        return parse_published(found, name) if found else None

    def _ids(self) -> list[str]:
        return [key.removeprefix("releases/").removesuffix(".json") for key in self.objects.keys("releases/")]
