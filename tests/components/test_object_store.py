"""Data in a real object store: EMBEDTUNE_TEST_S3=host:port (plain HTTP), with AWS_ACCESS_KEY_ID and its secret."""

import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio

from components.body import open_context
from components.inputs import comparisons, read_config, stage_yaml, version
from embedtune.core.errors import InputError
from embedtune.core.stage import Context

ENDPOINT = os.environ.get("EMBEDTUNE_TEST_S3")
pytestmark = pytest.mark.skipif(ENDPOINT is None, reason="no S3 server: EMBEDTUNE_TEST_S3=host:port is not set")


class Bucket:
    """A new bucket for one test."""

    def __init__(self) -> None:
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        self.client = Minio(ENDPOINT or "", access_key=key, secret_key=secret, secure=False)
        self.name = f"embedtune-{uuid.uuid4().hex[:12]}"
        self.client.make_bucket(self.name)

    def put(self, name: str, text: str) -> None:
        self.client.put_object(self.name, name, io.BytesIO(text.encode()), len(text.encode()))

    def remove(self) -> None:
        for item in self.client.list_objects(self.name, recursive=True):
            self.client.remove_object(self.name, str(item.object_name))
        self.client.remove_bucket(self.name)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.remove()


@pytest.fixture
def context() -> Iterator[Context]:
    config = read_config("minilm", f"storage.endpoint={ENDPOINT}\nstorage.secure=false")
    with open_context(stage_yaml(config, "evaluate")) as opened:
        yield opened


def test_a_version_changes_with_an_object_and_with_nothing_outside_the_prefix(
    bucket: Bucket, context: Context
) -> None:
    def now() -> str:
        return version([f"s3://{bucket.name}/docs"], context.config.storage, context.secrets)

    bucket.put("docs/a.md", "one")
    before = now()
    bucket.put("other/b.md", "two")
    assert now() == before
    bucket.put("docs/a.md", "two")
    assert now() != before


def test_an_address_without_objects_is_refused(bucket: Bucket, context: Context) -> None:
    with pytest.raises(InputError, match=bucket.name):
        version([f"s3://{bucket.name}/docs"], context.config.storage, context.secrets)


def test_what_is_compared_is_fetched(bucket: Bucket, context: Context, tmp_path: Path) -> None:
    bucket.put("sets/human/qrels/test.tsv", "judged")
    bucket.put("models/live/embedtune.json", "{}")
    sets = f"human=s3://{bucket.name}/sets/human\nlocal={tmp_path}"
    against = comparisons(sets, f"s3://{bucket.name}/models/live", context)
    assert list(against.eval_sets) == ["human", "local"]
    assert (against.eval_sets["human"] / "qrels/test.tsv").read_text() == "judged"
    assert against.eval_sets["local"] == tmp_path
    assert against.champion is not None
    assert (against.champion / "embedtune.json").read_text() == "{}"
