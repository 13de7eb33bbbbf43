"""A release that is mounted as a directory, such as the content of an OCI image, in place of a store."""

import hashlib
import shutil
import tempfile
import time
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.errors import InputError
from embedtune.core.records.base import JsonRecord, read_record, render_record
from embedtune.serve.release.record import RELEASE_FILE, ReleaseRecord
from embedtune.serve.store.directory import link_or_copy
from embedtune.serve.store.keys import published_key
from embedtune.serve.store.objects import Small
from embedtune.serve.store.pointer import POINTER
from embedtune.serve.store.records import Pointer, Published
from embedtune.serve.store.replicas import FOLDER as REPLICAS
from embedtune.serve.store.store import ReleaseStore

SCHEME = "image:"
SIGNATURE_FILE = "signature"  # next to the release's files: that of its id, in base64


class ImageObjects:
    """What a store would hold if this release were live in it. Nobody can change that.

    Args:
        folder: The directory of the release. Of files that its record does not list, only the signature is read.

    Raises:
        ArtifactError: There is no release.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.uri = self.place = f"{SCHEME}{self.folder}/"
        release = read_record(self.folder / RELEASE_FILE, ReleaseRecord)
        signature = self.folder / SIGNATURE_FILE
        published = Published(
            published="",
            data="",
            size=sum((self.folder / name).stat().st_size for name in release.files if self._is_file(name)),
            release=release,
            model="",
            signature=signature.read_text().strip() if signature.is_file() else None,
        )
        self._records: dict[str, JsonRecord] = {
            POINTER: Pointer(live=release.id),
            published_key(release.id): published,
        }

    def hurried(self) -> "ImageObjects":
        """Return these objects: a mount does not hang."""
        return self

    def prompt(self) -> "ImageObjects":
        """Return these objects: a mount does not hang."""
        return self

    def now(self) -> float:
        """Return this machine's time, in seconds since 1970."""
        return time.time()

    def read(self, key: str) -> Small | None:
        """Return a small object, or None if it does not exist."""
        if key not in self._records:
            return None
        text = render_record(self._records[key]).encode()
        return Small(self.uri + key, text, hashlib.sha256(text).hexdigest()[:32], 0.0, time.time())

    def write(self, key: str, record: JsonRecord, condition: str | None = None) -> str:
        """Ignore the state of a replica, which nobody waits for, and refuse everything else."""
        if not key.startswith(REPLICAS):
            raise self._fixed(key)
        return ""

    def upload(self, file: Path, key: str) -> None:
        """Refuse it."""
        raise self._fixed(key)

    def sha256(self, key: str) -> str:
        """Read a file and return its sha256."""
        return file_sha256(self.folder / key)

    def download(self, key: str, file: Path) -> str:
        """Copy a file and return the sha256 of the copy."""
        file.parent.mkdir(parents=True, exist_ok=True)
        if not self._is_file(key):
            raise InputError("there is no such file in the image", got=self.uri + key)
        link_or_copy(self.folder / key, file)
        return file_sha256(file)

    def keys(self, under: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        return sorted(key for key in self._records if key.startswith(under))

    def delete(self, keys: list[str]) -> None:
        """Ignore the states of replicas, and refuse everything else."""
        for key in keys:
            if not key.startswith(REPLICAS):
                raise self._fixed(key)

    def abort_parts(self, keys: list[str]) -> None:
        """Do nothing: there are none."""

    def _is_file(self, name: str) -> bool:
        path = (self.folder / name).resolve()
        return path.is_relative_to(self.folder) and path.is_file()

    def _fixed(self, key: str) -> InputError:
        return InputError(
            "the release of an image cannot be changed", got=self.uri + key, fix="build and mount another image"
        )


def save_release(store: ReleaseStore, name: str, output: Path) -> Published:
    """Write a release of a store to a directory, with its signature, and return its record.

    Args:
        store: The store.
        name: Its id, or the beginning of it.
        output: The directory.

    Raises:
        InputError: There is no such release, or something is at the output.
        ArtifactError: A file in the store differs from its hash, or the release is not signed as it must be.
    """
    if output.exists():
        raise InputError("the output exists already", got=str(output), fix="choose a new directory, or delete it")
    published, output = store.show(name), output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as draft:
        release = store.download(published.id, Path(draft))
        for path in release.record.hashes:  # a directory of this machine gives links to its own files
            file = release.path / path
            copy = file.with_name(f".{file.name}")
            shutil.copyfile(file, copy)
            copy.replace(file)
        if published.signature is not None:
            (release.path / SIGNATURE_FILE).write_text(published.signature)
        release.path.replace(output)
    return published
