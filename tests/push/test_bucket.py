"""Pushing to a bucket of a real store."""

import pytest

from embedtune.core.errors import InputError
from embedtune.push.bucket import LIST, BucketTarget
from embedtune.push.contents import gather
from embedtune.push.target import Credentials
from embedtune.report.card_metadata import CardFacts
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server

pytestmark = needs_server


@pytest.fixture
def bucket():
    with a_bucket() as made:
        yield made


@pytest.fixture
def contents(work, tmp_path):
    return gather(work, CardFacts(), "model", tmp_path)


def target(bucket) -> BucketTarget:
    return BucketTarget(f"s3://{bucket.name}/tiny", Credentials(storage=SECRETS), STORAGE)


def test_a_push_uploads_every_file_and_its_repetition_none(bucket, contents):
    assert target(bucket).inspect().said == "nothing"
    assert target(bucket).push(contents, public=False).changed
    assert bucket.names() == sorted(f"tiny/{name}" for name in [*contents.files, LIST])
    again = target(bucket)
    again._objects.upload = lambda *_: pytest.fail("a file was uploaded again")
    assert not again.push(contents, public=False).changed


def test_an_interrupted_push_goes_on_and_a_lost_file_is_sent_again(bucket, contents):
    bucket.put("tiny/config.json", b"half")
    assert target(bucket).inspect().said == "1 files without a finished push: an interrupted one, or not ours"
    assert target(bucket).push(contents, public=False).changed
    bucket.client.remove_object(bucket.name, "tiny/config.json")
    assert target(bucket).push(contents, public=False).changed
    assert "tiny/config.json" in bucket.names()


def test_files_that_only_the_last_push_had_are_deleted(bucket, contents):
    from embedtune.push.contents import Contents

    more = Contents({**contents.files, "old.safetensors": contents.files["config.json"]}, contents.contract, None)
    target(bucket).push(more, public=False)
    target(bucket).push(contents, public=False)
    assert "tiny/old.safetensors" not in bucket.names()


def test_objects_of_others_are_never_touched(bucket, contents):
    bucket.put("tiny/holiday.jpg", b"theirs")
    with pytest.raises(InputError, match=r"holiday\.jpg"):
        target(bucket).push(contents, public=False)
    assert bucket.names() == ["tiny/holiday.jpg"]
