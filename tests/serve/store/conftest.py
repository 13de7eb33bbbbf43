"""A bucket for each test, and a store of releases in it."""

from collections.abc import Iterator

import pytest

from embedtune.serve.store.store import ReleaseStore
from tests.support.object_store import SECRETS, STORAGE, Bucket, a_bucket

LIFE_S = 1.5  # of a lease; the store's clock counts whole seconds


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with a_bucket() as made:
        yield made


@pytest.fixture
def store(bucket: Bucket) -> ReleaseStore:
    return ReleaseStore(f"s3://{bucket.name}/team/releases", STORAGE, SECRETS, LIFE_S)
