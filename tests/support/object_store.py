"""A bucket on a real server: EMBEDTUNE_TEST_S3=host:port (plain HTTP), AWS_ACCESS_KEY_ID and its secret key."""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from minio import Minio

from embedtune.core.config.machine import StorageSettings
from embedtune.core.secrets import Secrets

ENDPOINT = os.environ.get("EMBEDTUNE_TEST_S3")
needs_server = pytest.mark.skipif(ENDPOINT is None, reason="no S3 server: EMBEDTUNE_TEST_S3=host:port is not set")
STORAGE = StorageSettings(endpoint=ENDPOINT, secure=False)
SECRETS = Secrets(
    s3_access_key=os.environ.get("AWS_ACCESS_KEY_ID"), s3_secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY")
)


class Bucket:
    """A new bucket for one test."""

    def __init__(self, endpoint: str) -> None:
        self.client = Minio(endpoint, SECRETS.s3_access_key, SECRETS.s3_secret_key, secure=False)
        self.name = f"embedtune-{uuid.uuid4().hex[:12]}"
        self.client.make_bucket(self.name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(self.name, key, io.BytesIO(data), len(data))

    def names(self) -> list[str]:
        return sorted(item.object_name for item in self.client.list_objects(self.name, recursive=True))

    def unfinished(self, key: str) -> int:
        """Return the number of interrupted multipart uploads of an object that the server keeps."""
        return len(self.client._list_multipart_uploads(self.name, prefix=key).uploads)

    def remove(self) -> None:
        for key in self.names():
            self.client.remove_object(self.name, key)
        self.client.remove_bucket(self.name)


@contextmanager
def a_bucket() -> Iterator[Bucket]:
    """Make a bucket and remove it at the end."""
    made = Bucket(str(ENDPOINT))
    try:
        yield made
    finally:
        made.remove()
