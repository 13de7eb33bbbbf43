"""The documents: whether there are any, and how large they are."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from minio.error import MinioException
from urllib3.exceptions import HTTPError

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import EmbedtuneError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.storage import split_uri
from embedtune.core.storage_client import connect, explain
from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.local.preflight.network import require_store

MOST_LISTED = 20_000  # objects of a prefix that are listed: about 20 requests


def check_documents(run: IntendedRun) -> Iterator[Finding]:
    """List the documents, and in an object store see whether one can be read.

    Raises:
        InputError: There are none, or the store refuses or does not answer.
    """
    if run.documents is None:
        return
    sizes = run.document_sizes
    if isinstance(sizes, EmbedtuneError):
        raise sizes
    if not sizes:
        raise InputError("there are no files at this address", got=run.documents, fix="check the folder's name")
    more = " or more" if len(sizes) == MOST_LISTED else ""
    yield Finding(
        "fine", "documents", f"{len(sizes):,}{more} files, {sum(sizes) / 1e6:,.1f} MB in {run.documents}"
    )


def list_sizes(where: str, storage: StorageSettings, secrets: Secrets) -> list[int]:
    """Return the size in bytes of each file, or of the first `MOST_LISTED` objects in an object store.

    Args:
        where: A folder or s3://bucket/prefix.
        storage: The object store.
        secrets: Its credentials.

    Raises:
        InputError: The folder does not exist, or the store refuses or does not answer.
    """
    if where.startswith("s3://"):
        return _object_sizes(where, storage, secrets)
    folder = Path(where)
    if not folder.exists():
        raise InputError("the documents do not exist", got=where, expected="a folder or s3://bucket/prefix")
    if folder.is_file():
        return [folder.stat().st_size]
    try:
        return list(_file_sizes(folder))
    except OSError as error:
        raise InputError(
            "the documents cannot be read",
            got=f"{error.filename}: {error.strerror}",
            fix="give this user the right to read the folder and everything in it",
        ) from error


def _file_sizes(folder: Path) -> Iterator[int]:
    def fail(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=fail, followlinks=True):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                yield path.stat().st_size


def _object_sizes(uri: str, storage: StorageSettings, secrets: Secrets) -> list[int]:
    bucket, prefix = split_uri(uri)
    require_store(storage)
    client = connect(storage, secrets)
    try:
        listed = client.list_objects(bucket, prefix=prefix, recursive=True)
        objects = [item for item in islice(listed, MOST_LISTED) if not item.object_name.endswith("/")]
        if objects:
            client.stat_object(bucket, objects[0].object_name)  # the right to list is not the right to read
    except (MinioException, HTTPError) as error:
        raise explain(uri, storage, error) from error
    return [item.size or 0 for item in objects]
