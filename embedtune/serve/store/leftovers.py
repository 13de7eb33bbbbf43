"""What dead uploads and deletions left behind in a store, found by their leases."""

import logging
from collections.abc import Callable, Iterable

from embedtune.core.errors import ArtifactError
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import Objects
from embedtune.serve.store.records import LeaseRecord

log = logging.getLogger(__name__)
FOLDER = "uploads/"


def lease_key(part: str) -> str:
    """Return the lease of the upload or deletion of `data/PART`."""
    return f"{FOLDER}{part}.json"


def clean(objects: Objects, life_s: float, is_unused: Callable[[str], bool]) -> list[str]:
    """Delete the files that dead uploads and deletions left behind, and return their folders.

    Args:
        objects: The store.
        life_s: Seconds without a sign of life after which an upload or a deletion is presumed dead.
        is_unused: Returns whether no published release has its files in a folder.
    """
    gone = []
    for key in objects.keys(FOLDER):
        held = objects.read(key)
        if held is None or held.age_s <= life_s:
            continue
        try:
            left = held.parse(LeaseRecord)
        except ArtifactError as error:
            log.warning("the files that an upload left behind could not be deleted: %s", error.what)
            continue
        if left.data is None:
            continue
        lease = acquire(objects, key, data=left.data, files=left.files, life_s=life_s)
        if lease is None:
            continue
        with lease.kept():
            if is_unused(left.data):
                delete_files(objects, left.data, left.files)
                gone.append(left.data)
                log.info("deleted the files that %s left behind at %s", left.holder, left.data)
    return gone


def delete_files(objects: Objects, data: str, files: Iterable[str]) -> None:
    """Delete the files of a release, and what interrupted uploads of them left behind."""
    objects.abort_parts([data + path for path in files])
    objects.delete(objects.keys(data))
