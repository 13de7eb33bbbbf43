"""Large objects come in ranges from a real MinIO, through connections that break off."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio
from minio.error import S3Error
from urllib3 import PoolManager, Retry
from urllib3.exceptions import HTTPError

from embedtune.core.errors import InputError
from embedtune.serve.store import ranges
from embedtune.serve.store.ranges import NOTES, PART, download_ranges
from embedtune.serve.store.store import ReleaseStore
from tests.support.breaking_proxy import BreakingProxy, breaking_proxy
from tests.support.object_store import ENDPOINT, SECRETS, Bucket, needs_server
from tests.support.releases import publish

pytestmark = needs_server
MB = 1 << 20
CONTENT = os.urandom(5 * MB + 17)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingProxy]:
    monkeypatch.setattr(ranges, "WAIT_S", 0.01)
    with breaking_proxy(str(ENDPOINT)) as running:
        yield running


@pytest.fixture
def client(proxy: BreakingProxy) -> Minio:
    return Minio(
        proxy.address,
        SECRETS.s3_access_key,
        SECRETS.s3_secret_key,
        secure=False,
        http_client=PoolManager(retries=Retry(0), maxsize=8),
    )


@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, MB + 1, len(CONTENT)])
def test_an_object_of_any_size_arrives_whole(bucket: Bucket, client: Minio, tmp_path: Path, size: int) -> None:
    bucket.put("a", CONTENT[:size])
    download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert (tmp_path / "a").read_bytes() == CONTENT[:size]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_broken_connections_are_tried_again(
    bucket: Bucket, client: Minio, proxy: BreakingProxy, tmp_path: Path
) -> None:
    bucket.put("a", CONTENT)
    proxy.breaks, proxy.after = 3, MB // 2
    download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert proxy.breaks == 0


def test_what_an_interrupted_download_got_is_not_fetched_again(
    bucket: Bucket, client: Minio, proxy: BreakingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", CONTENT)
    monkeypatch.setattr(ranges, "AT_ONCE", 1)
    real = ranges._Download.get

    def get(self: ranges._Download, number: int) -> None:
        if number == 3:  # the store goes away for good
            proxy.breaks, proxy.after = 1000, 0
        real(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(ranges._Download, "get", get)
        with pytest.raises(HTTPError):
            download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert {file.name for file in tmp_path.iterdir()} == {f".a{PART}", f".a{NOTES}"}
    proxy.breaks, proxy.sent = 0, 0
    download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert 2 * MB < proxy.sent < 3 * MB + 65536  # of six ranges, three were there


def test_another_version_is_fetched_from_the_start(bucket: Bucket, client: Minio, tmp_path: Path) -> None:
    file, other = tmp_path / "a", bytes(len(CONTENT))
    bucket.put("a", CONTENT)
    (tmp_path / f".a{PART}").write_bytes(CONTENT)
    stat = client.stat_object(bucket.name, "a")
    known = ranges.Ranges(etag=str(stat.etag), size=len(CONTENT), range=MB, done=(0, 1, 2))
    ranges._note(file, known)
    bucket.put("a", other)
    download_ranges(client, bucket.name, "a", file, MB)
    assert file.read_bytes() == other


@pytest.mark.parametrize("notes", ["", "{}", "[1, 2"])
def test_damaged_notes_cost_only_time(bucket: Bucket, client: Minio, tmp_path: Path, notes: str) -> None:
    bucket.put("a", CONTENT)
    (tmp_path / f".a{PART}").write_bytes(b"half")
    (tmp_path / f".a{NOTES}").write_text(notes)
    download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_an_object_that_is_replaced_meanwhile_is_no_mixture(
    bucket: Bucket, client: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", CONTENT)
    monkeypatch.setattr(ranges, "AT_ONCE", 1)
    real = ranges._Download.get

    def get(self: ranges._Download, number: int) -> None:
        if number == 2:
            bucket.put("a", bytes(len(CONTENT)))
        real(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(ranges._Download, "get", get)
        with pytest.raises(S3Error, match="PreconditionFailed"):
            download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert (tmp_path / "a").read_bytes() == bytes(len(CONTENT))


def test_a_release_goes_on_with_what_is_there_unless_that_is_damaged(
    store: ReleaseStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = publish(store, tmp_path, "one")
    whole = store.download(published.id, tmp_path / "down").path
    names = sorted(file.relative_to(whole).as_posix() for file in whole.rglob("*") if file.is_file())
    draft = whole.with_name(f".{published.id}.draft")
    whole.rename(draft)
    (draft / "reference.parquet").write_bytes(b"ROWS")
    (draft / "stranger").write_text("left over")
    back = store.download(published.id, tmp_path / "down").path
    assert sorted(file.relative_to(back).as_posix() for file in back.rglob("*") if file.is_file()) == names
    assert (back / "reference.parquet").read_bytes() == b"rows"
    assert "from the start" not in caplog.text

    back.rename(draft)  # half of a file of the same size, which its notes call complete
    (draft / "reference.parquet").unlink()
    (draft / f".reference.parquet{PART}").write_bytes(b"ROWS")
    stat = store.objects._client.stat_object(
        store.objects.bucket, f"team/releases/{published.data}reference.parquet"
    )
    known = ranges.Ranges(etag=str(stat.etag), size=4, range=ranges.RANGE, done=(0,))
    ranges._note(draft / "reference.parquet", known)
    back = store.download(published.id, tmp_path / "down").path
    assert (back / "reference.parquet").read_bytes() == b"rows"
    assert "from the start" in caplog.text


def test_a_file_that_would_fill_the_disk_is_not_begun(
    bucket: Bucket, client: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", CONTENT)
    monkeypatch.setattr(ranges, "SPARE", 1 << 60)
    with pytest.raises(InputError, match=r"no room for a file(.|\n)*5,242,897 bytes for a"):
        download_ranges(client, bucket.name, "a", tmp_path / "a", MB)
    assert list(tmp_path.iterdir()) == []
