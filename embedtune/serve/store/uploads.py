"""Uploads files under a lease, then publishes them by one small object; deletes them in the opposite order."""

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord
from embedtune.serve.release.record import short
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.leftovers import delete_files, lease_key
from embedtune.serve.store.objects import ConflictError, Objects

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """What is uploaded.

    Args:
        key: The object that publishes it.
        name: Its hash.
        folder: The directory of its files.
        hashes: sha256 of each file by relative path.
    """

    key: str
    name: str
    folder: Path
    hashes: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.folder / path).stat().st_size for path in self.hashes)


def publish_files(
    objects: Objects, upload: Upload, record: Callable[[str], JsonRecord], condition: str, life_s: float
) -> None:
    """Upload files to a new folder, verify them there, and publish them.

    Args:
        objects: The store.
        upload: The files.
        record: Returns what the publishing object says, given the folder in the store.
        condition: Version of the publishing object that is replaced; if another process published in the
            meantime, its files are kept and these are deleted.
        life_s: Seconds without a sign of life after which this upload is presumed dead.

    Raises:
        ArtifactError: A file differs from its hash.
        ConflictError: This process was presumed dead.
    """
    part = f"{short(upload.name)}-{uuid.uuid4().hex[:8]}"
    data = f"data/{part}/"
    lease = acquire(objects, lease_key(part), data=data, files=sorted(upload.hashes), life_s=life_s)
    assert lease is not None  # noqa: S101 - no other process knows this key
    with lease.kept():
        for path, digest in upload.hashes.items():
            objects.upload(upload.folder / path, data + path)
            if (arrived := objects.sha256(data + path)) != digest:
                raise ArtifactError(
                    "a file was changed before or during its upload",
                    got=f"{path}: {arrived}",
                    expected=digest,
                    fix="run the command again",
                )
        # A process that presumes this upload dead takes its lease first: then this renewal fails.
        lease.renew()
        try:
            objects.write(upload.key, record(data), condition)
        except ConflictError:
            log.info("%s was published by another process in the meantime", upload.key)
            objects.delete([data + path for path in upload.hashes])


def unpublish(objects: Objects, keys: list[str], data: str, files: Iterable[str], life_s: float) -> None:
    """Delete the objects that publish files, then the files, unless another process is deleting them.

    Args:
        objects: The store.
        keys: The objects that publish the files and describe them.
        data: The folder of the files in the store.
        files: Their paths in it.
        life_s: Seconds without a sign of life after which this deletion is presumed dead.
    """
    paths = sorted(files)
    # Because of this lease, an interrupted deletion is finished by the next `clean`.
    lease = acquire(objects, lease_key(data.split("/")[1]), data=data, files=paths, life_s=life_s)
    if lease is None:
        return
    with lease.kept():
        objects.delete(keys)
        delete_files(objects, data, paths)
