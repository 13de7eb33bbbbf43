"""Reads an S3-compatible object store with the MinIO client: lists a prefix or downloads it to a local folder."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from minio.error import MinioException
from urllib3.exceptions import HTTPError

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.core.secrets import Secrets
from embedtune.core.storage_client import connect, explain

log = logging.getLogger(__name__)
# Amazon's rules (docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html), which MinIO follows.
BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
INDEX = ".objects.json"  # kept next to downloaded files: the etag of each file's object; read only by this module


class DownloadIndex(JsonRecord):
    """What a folder of downloads holds.

    Attributes:
        etags: The etag of each file's object, by the file's name.
    """

    NAME: ClassVar[str] = "download_index"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune ingest"

    etags: dict[str, str]


@dataclass(frozen=True)
class StoredObject:
    """An object under a prefix.

    Args:
        key: Its full key in the bucket.
        name: Its key without the prefix.
        size: Its size in bytes.
        etag: Its etag, which changes with its content.
    """

    key: str
    name: str
    size: int
    etag: str


def list_prefix(uri: str, storage: StorageSettings, secrets: Secrets) -> list[StoredObject]:
    """Return the objects under `s3://bucket/prefix/`, sorted by name.

    Args:
        uri: The address.
        storage: The object store.
        secrets: Its credentials; without them access is anonymous.

    Raises:
        ConfigError: The store is not configured.
        InputError: The address is wrong, the store refuses or does not answer, or there are no objects.
    """
    bucket, prefix = split_uri(uri)
    client = connect(storage, secrets)
    try:
        listed = list(client.list_objects(bucket, prefix=prefix, recursive=True))
    except (MinioException, HTTPError) as error:
        raise explain(uri, storage, error) from error
    objects = [
        StoredObject(item.object_name, item.object_name.removeprefix(prefix), item.size, item.etag)
        for item in listed
        if not item.object_name.endswith("/")
    ]
    if not objects:
        raise InputError("there are no objects at this address", got=uri, fix="check the bucket and the prefix")
    return sorted(objects, key=lambda item: item.name)


def download_prefix(uri: str, into: Path, storage: StorageSettings, secrets: Secrets) -> Path:
    """Download everything under `s3://bucket/prefix/` to a folder under `into` and return that folder.

    A file whose object has the same size and etag as before is not downloaded again; a file whose object is gone
    is deleted. An interrupted download leaves no partial file.

    Args:
        uri: The address.
        into: Directory for downloads.
        storage: The object store.
        secrets: Its credentials.

    Raises:
        ConfigError: The store is not configured.
        InputError: As for `list_prefix`; or the name of an object is also that of a folder.
    """
    bucket, prefix = split_uri(uri)
    objects = list_prefix(uri, storage, secrets)
    folder = into / bucket / prefix
    folder.mkdir(parents=True, exist_ok=True)
    client = connect(storage, secrets)
    have = _read_index(folder)
    for name in sorted(set(have) - {item.name for item in objects}):
        (folder / name).unlink(missing_ok=True)
        del have[name]
    fetched = 0
    for item in objects:
        path = _target(folder, item, uri)
        if have.get(item.name) == item.etag and path.is_file() and path.stat().st_size == item.size:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            client.fget_object(bucket, item.key, str(path))
        except (MinioException, HTTPError) as error:
            raise explain(f"s3://{bucket}/{item.key}", storage, error) from error
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(
                "an object and a folder have the same name", got=item.key, fix="rename one of them in the store"
            ) from error
        have[item.name] = item.etag
        fetched += 1
        _write_index(folder, have)
    log.info("%s: %d objects, %d downloaded", uri, len(objects), fetched)
    return folder


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and prefix of an address; the prefix is empty or ends with a slash.

    Raises:
        InputError: The address is not of the form `s3://bucket/prefix`.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError("not an object store address", got=uri, expected="s3://bucket/prefix")
    if not BUCKET.fullmatch(bucket):
        raise InputError(
            "not the name of a bucket",
            got=bucket,
            expected="3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with one of the "
            "first two",
            fix=f"check the address {uri}",
        )
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _target(folder: Path, item: StoredObject, uri: str) -> Path:
    path = (folder / item.name).resolve()
    if not path.is_relative_to(folder.resolve()) or item.name == INDEX:
        raise InputError("an object's key points outside its folder", got=item.key, expected=f"keys under {uri}")
    return path


def _read_index(folder: Path) -> dict[str, str]:
    """Return the etag of each downloaded object; an unreadable index has none, so all are fetched again."""
    try:
        return read_record(folder / INDEX, DownloadIndex).etags
    except ArtifactError:
        return {}


def _write_index(folder: Path, index: dict[str, str]) -> None:
    draft = folder / f"{INDEX}.draft"
    write_record(draft, DownloadIndex(etags=dict(sorted(index.items()))))
    draft.replace(folder / INDEX)
