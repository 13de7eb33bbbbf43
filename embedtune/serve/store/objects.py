"""A prefix of an object store: small JSON objects with conditional writes, and files with their hashes."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, EmbedtuneError, InputError
from embedtune.core.records.base import JsonRecord, R, parse_record, render_record
from embedtune.core.secrets import Secrets
from embedtune.core.storage import split_uri
from embedtune.core.storage_client import PATIENT, Patience, connect, explain
from embedtune.serve.store.ranges import download_ranges

BLOCK = 1 << 20
# For the pointer: whoever follows it must say every few seconds that it does (SILENT_S in replica/serving.py).
HURRIED = Patience(timeout_s=3.0, retries=1)
# For the moment of a switch, which is announced seconds ahead: sent again, it would come too late.
PROMPT = Patience(timeout_s=1.0, retries=0)
# Bytes of a small object: whoever can write to the store must not fill the memory of its readers.
MAX_SMALL = 8 << 20
TICK_S = 1.0  # HTTP tells the time in whole seconds
ABSENT = "absent"  # the condition that an object does not exist yet
_HTTP_CONFLICT = {409, 412}


class ConflictError(EmbedtuneError):
    """An object is not in the expected state, because another process has written it in the meantime."""


@dataclass(frozen=True)
class Small:
    """A small object that was read.

    Args:
        address: Its full address, for messages.
        text: Its content.
        etag: Identifies this version of it.
        age_s: Seconds since it was written, by the store's own clock.
        now: The store's own time when it was read, in seconds since 1970, cut off to `tick_s`.
        tick_s: Seconds by which that time may be too early; 0: it is exact.
    """

    address: str
    text: bytes
    etag: str
    age_s: float
    now: float
    tick_s: float = 0.0

    def parse(self, kind: type[R]) -> R:
        """Return the record that it holds.

        Raises:
            ArtifactError: It is damaged, or of another schema or version.
        """
        return parse_record(self.text, kind, self.address)


def require_small(text: bytes, address: str) -> bytes:
    """Return what was read of a small object, up to one byte more than it may have.

    Args:
        text: What was read.
        address: Its full address.

    Raises:
        ArtifactError: There is more.
    """
    if len(text) > MAX_SMALL:
        raise ArtifactError(
            f"{address} is damaged: it is too large",
            expected=f"at most {MAX_SMALL:,} bytes",
            fix="write it again, or delete it",
        )
    return text


def file_below(folder: Path, name: str) -> Path:
    """Return the file that an object is downloaded to; whoever writes to the store chooses its name.

    Args:
        folder: The folder of the download.
        name: Path in it.

    Raises:
        ArtifactError: The path leads out of the folder.
    """
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ArtifactError("a path in the object store points outside its folder", got=name)
    return file


class Objects(Protocol):
    """Small JSON objects with conditional writes, and files; keys are relative to the store's address."""

    uri: str
    place: str  # the address with its host, so that two stores with buckets of the same name differ

    def hurried(self) -> "Objects":
        """Return the same objects, for small ones only: a store that hangs is given up within seconds."""

    def prompt(self) -> "Objects":
        """Return the same objects, for small ones only: what is not done within two seconds is given up."""

    def now(self) -> float:
        """Return the store's own time, in seconds since 1970; the clocks of its clients may differ."""

    def read(self, key: str) -> Small | None:
        """Return a small object, or None if it does not exist."""

    def write(self, key: str, record: JsonRecord, condition: str | None = None) -> str:
        """Write a record as a small JSON object and return its etag.

        Args:
            key: The object.
            record: Its content.
            condition: Write only if the object is `ABSENT` or has this etag; None: always.

        Raises:
            ConflictError: The condition is not met.
        """

    def upload(self, file: Path, key: str) -> None:
        """Upload a file; it becomes visible only when it is complete."""

    def sha256(self, key: str) -> str:
        """Read an object and return its sha256."""

    def download(self, key: str, file: Path) -> str:
        """Write an object to a file, flushed to disk, and return the sha256 of the file.

        The file appears when it is complete; what an interrupted download left is used.
        """

    def keys(self, under: str) -> list[str]:
        """Return the keys under a folder, sorted."""

    def delete(self, keys: list[str]) -> None:
        """Delete objects; one that does not exist is not an error."""

    def abort_parts(self, keys: list[str]) -> None:
        """Drop the parts that interrupted uploads of these objects left behind; no listing shows them."""


class S3Objects:
    """The objects under `s3://bucket/prefix`; keys are relative to the prefix.

    Args:
        uri: The address.
        storage: Which store.
        secrets: Its credentials.
        patience: How long it may take to answer.

    Raises:
        ConfigError: The store is not configured.
        InputError: The address is wrong.
    """

    def __init__(self, uri: str, storage: StorageSettings, secrets: Secrets, patience: Patience = PATIENT) -> None:
        self.bucket, self.prefix = split_uri(uri)
        self.uri = f"s3://{self.bucket}/{self.prefix}"
        self.place = f"{storage.endpoint}/{self.bucket}/{self.prefix}"
        self._storage, self._secrets = storage, secrets
        self._client: Minio = connect(storage, secrets, patience)

    def hurried(self) -> "S3Objects":
        """Return the same objects, for small ones only: a store that hangs is given up within seconds."""
        return S3Objects(self.uri, self._storage, self._secrets, HURRIED)

    def prompt(self) -> "S3Objects":
        """Return the same objects, for small ones only: what is not done within two seconds is given up."""
        return S3Objects(self.uri, self._storage, self._secrets, PROMPT)

    def now(self) -> float:
        """Return the store's own time, in seconds since 1970, which HTTP gives in whole seconds."""
        with self._explained(""):
            answer = self._client._execute("HEAD", self.bucket)
        return parsedate_to_datetime(str(answer.headers["Date"])).timestamp()

    def read(self, key: str) -> Small | None:
        """Return a small object, or None if it does not exist."""
        with self._explained(key):
            try:
                response = self._client.get_object(self.bucket, self.prefix + key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise
            try:
                text = require_small(bytes(response.read(MAX_SMALL + 1)), self.uri + key)
            finally:
                response.close()
                response.release_conn()
            now, written = (parsedate_to_datetime(response.headers[name]) for name in ("Date", "Last-Modified"))
            # Both times come from the store, so a wrong clock on this machine does no harm.
            age = max(0.0, (now - written).total_seconds())
            etag = response.headers["ETag"].strip('"')
            return Small(self.uri + key, text, etag, age, now.timestamp(), TICK_S)

    def write(self, key: str, record: JsonRecord, condition: str | None = None) -> str:
        """Write a record as a small JSON object and return its etag.

        Args:
            key: The object.
            record: Its content.
            condition: Write only if the object is `ABSENT` or has this etag; None: always.

        Raises:
            ConflictError: The condition is not met.
        """
        headers: dict[str, str | list[str] | tuple[str]] = {"Content-Type": "application/json"}
        if condition is not None:
            headers |= {"If-None-Match": "*"} if condition == ABSENT else {"If-Match": f'"{condition}"'}
        body = render_record(record).encode()
        with self._explained(key):
            try:
                # The client's put_object accepts no conditions. A presigned URL does, but urllib3 logs URLs.
                answer = self._client._execute("PUT", self.bucket, self.prefix + key, body=body, headers=headers)
            except S3Error as error:
                if condition is not None and (
                    error.response.status in _HTTP_CONFLICT or error.code == "NoSuchKey"
                ):
                    raise ConflictError(f"{self.uri}{key} was changed by another process") from error
                raise
        return str(answer.headers["ETag"]).strip('"')

    def upload(self, file: Path, key: str) -> None:
        """Upload a file; a large one is sent in parts and becomes visible only when it is complete."""
        with self._explained(key):
            self._client.fput_object(self.bucket, self.prefix + key, str(file))

    def sha256(self, key: str) -> str:
        """Read an object and return its sha256."""
        digest = hashlib.sha256()
        with self._explained(key):
            response = self._client.get_object(self.bucket, self.prefix + key)
            try:
                for block in response.stream(BLOCK):
                    digest.update(block)
            finally:
                response.close()
                response.release_conn()
        return digest.hexdigest()

    def download(self, key: str, file: Path) -> str:
        """Write an object to a file, flushed to disk, and return the sha256 of the file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._explained(key):
            download_ranges(self._client, self.bucket, self.prefix + key, file)
        return file_sha256(file)

    def keys(self, under: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        with self._explained(under):
            listed = self._client.list_objects(self.bucket, prefix=self.prefix + under, recursive=True)
            return sorted(item.object_name.removeprefix(self.prefix) for item in listed)

    def delete(self, keys: list[str]) -> None:
        """Delete objects; one that does not exist is not an error."""
        with self._explained(keys[0] if keys else ""):
            wanted = [DeleteObject(self.prefix + key) for key in keys]
            failed = list(self._client.remove_objects(self.bucket, wanted))
        if failed:
            raise InputError(
                "the object store did not delete an object",
                got=f"{self.uri}{failed[0].name}: {failed[0].message}",
            )

    def abort_parts(self, keys: list[str]) -> None:
        """Drop the parts that interrupted uploads of these objects left behind; no listing shows them."""
        for key in keys:
            with self._explained(key):
                # In the client, both calls are private methods. MinIO lists parts only by the object's full name.
                found = self._client._list_multipart_uploads(self.bucket, prefix=self.prefix + key)
                for upload in found.uploads:
                    self._client._abort_multipart_upload(self.bucket, upload.object_name, str(upload.upload_id))

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except (MinioException, HTTPError) as error:
            raise explain(self.uri + key, self._storage, error) from error
