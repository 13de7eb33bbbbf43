"""A prefix of an object store: small objects with conditions on their writing, files with hashes."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import EmbedtuneError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.storage import connect, explain, split_uri

BLOCK = 1 << 20
ABSENT = "absent"  # the condition that an object is not there yet
_HTTP_CONFLICT = {409, 412}


class ConflictError(EmbedtuneError):
    """An object is not in the state that was expected: somebody else wrote it in between."""


@dataclass(frozen=True)
class Small:
    """A small object as it was read.

    Args:
        data: Its JSON.
        etag: Names this version of it.
        age_s: Seconds since it was written, by the store's own clock.
    """

    data: dict[str, Any]
    etag: str
    age_s: float


class Objects:
    """The objects under `s3://bucket/prefix`; keys are relative to the prefix.

    Args:
        uri: The address.
        storage: Which store.
        secrets: Its credentials.

    Raises:
        ConfigError: The store is not configured.
        InputError: The address is wrong.
    """

    def __init__(self, uri: str, storage: StorageSettings, secrets: Secrets) -> None:
        self.bucket, self.prefix = split_uri(uri)
        self.uri = f"s3://{self.bucket}/{self.prefix}"
        self._storage = storage
        self._client: Minio = connect(storage, secrets)

    def read(self, key: str) -> Small | None:
        """Return a small JSON object, or None if it is not there."""
        with self._explained(key):
            try:
                response = self._client.get_object(self.bucket, self.prefix + key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
            try:
                data = json.loads(response.data)
            except ValueError as error:
                raise InputError("an object is damaged", got=self.uri + key, expected="JSON") from error
            finally:
                response.close()
                response.release_conn()
            return Small(data, response.headers["ETag"].strip('"'), _age(response.headers))

    def write(self, key: str, data: dict[str, Any], condition: str | None = None) -> str:
        """Write a small JSON object and return its etag.

        Args:
            key: Where.
            data: What.
            condition: Write only if the object is `ABSENT`, or has this etag; None: in any case.

        Raises:
            ConflictError: The condition does not hold.
        """
        headers: dict[str, Any] = {"Content-Type": "application/json"}
        if condition is not None:
            headers |= {"If-None-Match": "*"} if condition == ABSENT else {"If-Match": f'"{condition}"'}
        body = (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()
        with self._explained(key):
            try:
                # The client's own put_object takes no conditions. A presigned URL would, but urllib3 logs URLs.
                answer = self._client._execute("PUT", self.bucket, self.prefix + key, body=body, headers=headers)
            except S3Error as error:
                if condition is not None and (
                    error.response.status in _HTTP_CONFLICT or error.code == "NoSuchKey"
                ):
                    raise ConflictError(f"{self.uri}{key} was changed by another process") from error
                raise
        return str(answer.headers["ETag"]).strip('"')

    def upload(self, file: Path, key: str) -> None:
        """Write a file; a large one goes up in parts, and stands there only when it is whole."""
        with self._explained(key):
            self._client.fput_object(self.bucket, self.prefix + key, str(file))

    def sha256(self, key: str) -> str:
        """Read an object and return its hash."""
        return self._read_through(key, None)

    def download(self, key: str, file: Path) -> str:
        """Write an object to a file, flushed to the disk, and return the hash of what was read."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            digest = self._read_through(key, stream)
            stream.flush()
            os.fsync(stream.fileno())
        return digest

    def keys(self, under: str) -> list[str]:
        """Return the keys below a folder, sorted."""
        with self._explained(under):
            listed = self._client.list_objects(self.bucket, prefix=self.prefix + under, recursive=True)
            return sorted(item.object_name.removeprefix(self.prefix) for item in listed)

    def delete(self, keys: list[str]) -> None:
        """Delete objects; one that is not there is no error."""
        with self._explained(keys[0] if keys else ""):
            wanted = [DeleteObject(self.prefix + key) for key in keys]
            failed = list(self._client.remove_objects(self.bucket, wanted))
        if failed:
            raise InputError(
                "the object store does not delete", got=f"{self.uri}{failed[0].name}: {failed[0].message}"
            )

    def abort_parts(self, keys: list[str]) -> None:
        """Drop what interrupted uploads of these objects left behind: parts of them, which no listing shows."""
        for key in keys:
            with self._explained(key):
                # The client offers both calls only under these names. MinIO lists parts by whole names alone.
                found = self._client._list_multipart_uploads(self.bucket, prefix=self.prefix + key)
                for upload in found.uploads:
                    self._client._abort_multipart_upload(self.bucket, upload.object_name, str(upload.upload_id))

    def _read_through(self, key: str, into: Any) -> str:
        digest = hashlib.sha256()
        with self._explained(key):
            response = self._client.get_object(self.bucket, self.prefix + key)
            try:
                for block in response.stream(BLOCK):
                    digest.update(block)
                    if into is not None:
                        into.write(block)
            finally:
                response.close()
                response.release_conn()
        return digest.hexdigest()

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except (MinioException, HTTPError) as error:
            raise explain(self.uri + key, self._storage, error) from error


def _age(headers: Any) -> float:
    # Both times are the store's, so a wrong clock on this machine does no harm.
    now, written = (parsedate_to_datetime(headers[name]) for name in ("Date", "Last-Modified"))
    return max(0.0, (now - written).total_seconds())
