"""Against a real server: EMBEDTUNE_TEST_S3=host:port (plain HTTP) and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.storage import INDEX, StoredObject, _target, download_prefix, list_prefix
from tests.support.object_store import SECRETS, STORAGE, Bucket, a_bucket, needs_server


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with a_bucket() as made:
        yield made


@needs_server
def test_listing_names_objects_below_the_prefix_only(bucket: Bucket) -> None:
    for key in ("docs/b.md", "docs/a/x.md", "docs2/c.md", "docs/empty/"):
        bucket.put(key, b"text")
    listed = list_prefix(f"s3://{bucket.name}/docs", STORAGE, SECRETS)
    assert [(item.key, item.name, item.size) for item in listed] == [
        ("docs/a/x.md", "a/x.md", 4),
        ("docs/b.md", "b.md", 4),
    ]


@needs_server
def test_whole_bucket_is_a_prefix_too(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.md", b"text")
    folder = download_prefix(f"s3://{bucket.name}", tmp_path, STORAGE, SECRETS)
    assert (folder / "a.md").read_bytes() == b"text"


@needs_server
def test_second_download_fetches_what_changed_and_deletes_what_is_gone(bucket: Bucket, tmp_path: Path) -> None:
    uri = f"s3://{bucket.name}/docs"
    for name in ("same", "edited", "gone"):
        bucket.put(f"docs/{name}.md", b"old!")
    folder = download_prefix(uri, tmp_path, STORAGE, SECRETS)
    before = (folder / "same.md").stat().st_mtime_ns
    bucket.put("docs/edited.md", b"new!")
    bucket.client.remove_object(bucket.name, "docs/gone.md")
    (folder / "own.md").write_text("not from the store")
    assert download_prefix(uri, tmp_path, STORAGE, SECRETS) == folder
    assert (folder / "same.md").stat().st_mtime_ns == before
    assert (folder / "edited.md").read_bytes() == b"new!"
    assert not (folder / "gone.md").exists()
    assert (folder / "own.md").exists()


@needs_server
def test_damaged_local_copy_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.md", b"text")
    folder = download_prefix(f"s3://{bucket.name}/", tmp_path, STORAGE, SECRETS)
    (folder / "a.md").write_bytes(b"te")
    download_prefix(f"s3://{bucket.name}/", tmp_path, STORAGE, SECRETS)
    assert (folder / "a.md").read_bytes() == b"text"


@needs_server
def test_nothing_under_the_prefix(bucket: Bucket) -> None:
    with pytest.raises(InputError, match="no objects at this address"):
        list_prefix(f"s3://{bucket.name}/docs", STORAGE, SECRETS)


@needs_server
def test_missing_bucket_is_named() -> None:
    with pytest.raises(InputError, match="NoSuchBucket"):
        list_prefix("s3://no-such-bucket-here/docs", STORAGE, SECRETS)


@needs_server
def test_wrong_key_is_named(bucket: Bucket) -> None:
    wrong = Secrets(s3_access_key=SECRETS.s3_access_key, s3_secret_key="wrong-secret")
    with pytest.raises(InputError, match="AWS_SECRET_ACCESS_KEY"):
        list_prefix(f"s3://{bucket.name}/docs", STORAGE, wrong)


@pytest.mark.parametrize("uri", ["s3://", "s3:///docs", "https://x/y"])
def test_address_without_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="object store address"):
        list_prefix(uri, StorageSettings(endpoint="127.0.0.1:9"), Secrets())


def test_endpoint_must_be_set() -> None:
    with pytest.raises(ConfigError, match=r"storage\.endpoint"):
        list_prefix("s3://bucket/docs", StorageSettings(), Secrets())


def test_endpoint_with_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"storage\.endpoint is not valid"):
        list_prefix("s3://bucket/docs", StorageSettings(endpoint="http://host:9000/path"), Secrets())


def test_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9") as caught:
        list_prefix("s3://bucket/docs", StorageSettings(endpoint="127.0.0.1:9", secure=False), Secrets())
    assert "storage.secure" in str(caught.value)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b"])
def test_key_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="points outside"):
        _target(tmp_path / "docs", StoredObject(f"docs/{name}", name, 1, "e"), "s3://bucket/docs")


@needs_server
@pytest.mark.parametrize("damage", ["", "[]", "{", '{"schema_name": "download_index", "schema_version": 99}'])
def test_an_unreadable_index_of_downloads_fetches_everything_again(
    bucket: Bucket, tmp_path: Path, damage: str
) -> None:
    uri = f"s3://{bucket.name}/docs"
    bucket.put("docs/a.md", b"one")
    folder = download_prefix(uri, tmp_path, STORAGE, SECRETS)
    (folder / INDEX).write_text(damage)
    (folder / "a.md").write_text("two")
    download_prefix(uri, tmp_path, STORAGE, SECRETS)
    assert (folder / "a.md").read_text() == "one"


@pytest.mark.parametrize("bucket", ["My_Bucket", "ab", "-docs", "a..b", "x" * 64])
def test_a_wrong_name_of_a_bucket_is_refused_before_the_client_sees_it(bucket: str) -> None:
    with pytest.raises(InputError, match="not the name of a bucket"):
        list_prefix(f"s3://{bucket}/docs", StorageSettings(endpoint="127.0.0.1:9", secure=False), Secrets())
