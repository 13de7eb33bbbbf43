"""A directory that offers what an object store offers, for a service on one machine."""

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.base import JsonRecord, render_record
from embedtune.core.secrets import Secrets
from embedtune.serve.store.objects import (
    ABSENT,
    MAX_SMALL,
    ConflictError,
    Objects,
    S3Objects,
    Small,
    require_small,
)

LOCK = ".lock"


class DirectoryObjects:
    """The files of a directory on a local disk.

    Args:
        folder: The directory; it is made at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.uri = self.place = f"{self.folder}/"

    def hurried(self) -> "DirectoryObjects":
        """Return these objects: a disk does not hang."""
        return self

    def prompt(self) -> "DirectoryObjects":
        """Return these objects: a disk does not hang."""
        return self

    def now(self) -> float:
        """Return this machine's time, in seconds since 1970."""
        return time.time()

    def read(self, key: str) -> Small | None:
        """Return a small object, or None if it does not exist."""
        path = self._path(key)
        try:
            with path.open("rb") as stream:
                text = require_small(stream.read(MAX_SMALL + 1), str(path))
                written = os.fstat(stream.fileno()).st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from error
        now = time.time()
        return Small(str(path), text, _etag(text), max(0.0, now - written), now)

    def write(self, key: str, record: JsonRecord, condition: str | None = None) -> str:
        """Write a record as a small JSON object and return its etag. See `Objects.write`."""
        text = render_record(record).encode()
        try:
            with self._alone():
                if condition is not None and condition != self._condition(key):
                    raise ConflictError(f"{self.uri}{key} was changed by another process")
                draft = self._draft(key)
                draft.write_bytes(text)
                draft.replace(self._path(key))
        except OSError as error:
            raise _unusable(self._path(key), error) from error
        return _etag(text)

    def upload(self, file: Path, key: str) -> None:
        """Link a file, or copy it where that is not possible; it becomes visible only when it is complete."""
        draft = self._draft(key)
        link_or_copy(file, draft)
        draft.replace(self._path(key))

    def sha256(self, key: str) -> str:
        """Read an object and return its sha256."""
        return file_sha256(self._path(key))

    def download(self, key: str, file: Path) -> str:
        """Link an object to a file, or copy it, and return the sha256 of its content."""
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            link_or_copy(self._path(key), file)
        except FileNotFoundError as error:
            raise InputError("there is no such file in the release store", got=self.uri + key) from error
        return file_sha256(file)

    def keys(self, under: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        found = (self.folder / under).rglob("*")
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in found
            if path.is_file() and not path.name.startswith(".")
        )

    def delete(self, keys: list[str]) -> None:
        """Delete objects, and folders that are empty then; one that does not exist is not an error."""
        for key in keys:
            path = self._path(key)
            path.unlink(missing_ok=True)
            while (path := path.parent) != self.folder and path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def abort_parts(self, keys: list[str]) -> None:
        """Do nothing: an interrupted upload leaves at most a hidden file, which nobody reads."""

    def _condition(self, key: str) -> str:
        """Return the condition on which an object may be written."""
        there = self.read(key)
        return ABSENT if there is None else there.etag

    def _path(self, key: str) -> Path:
        path = self.folder / key
        if not path.resolve().is_relative_to(self.folder):
            raise ArtifactError("a path in the release store points outside of it", got=key)
        return path

    def _draft(self, key: str) -> Path:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from writing small objects meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def open_objects(uri: str, storage: StorageSettings, secrets: Secrets) -> Objects:
    """Return the objects at an address.

    Args:
        uri: `s3://bucket/prefix`, a directory of this machine, or `image:` and the directory of one release.
        storage: The object store of an s3:// address.
        secrets: Its credentials.

    Raises:
        ConfigError: The store is not configured.
        InputError: The address is wrong.
        ArtifactError: The directory of an image holds no release.
    """
    if uri.startswith("image:"):
        from embedtune.serve.store.image import ImageObjects

        return ImageObjects(Path(uri.removeprefix("image:")))
    return S3Objects(uri, storage, secrets) if uri.startswith("s3://") else DirectoryObjects(Path(uri))


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(
        "a file of the release store cannot be read or written",
        got=f"{path}: {error.strerror or error}",
        fix="give this user the right to, make room, or name another place with release.uri",
    )


def _etag(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file, or copy it where that is not possible; what is there is replaced."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
