"""Releases on a real MinIO: published completely or not at all, whichever process dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedtune.core.errors import ArtifactError, InputError
from embedtune.serve.release.record import read_release
from embedtune.serve.store.objects import ConflictError, S3Objects
from embedtune.serve.store.store import ReleaseStore
from tests.support.minio_server import MinioServer, needs_program
from tests.support.object_store import ENDPOINT, SECRETS, Bucket, needs_server
from tests.support.releases import make_release, publish
from tests.support.waiting import wait_until

pytestmark = needs_server
LIFE_S = 1.5  # of a lease; the store's clock counts whole seconds
BIG = 96 << 20


def test_a_published_release_comes_back_byte_for_byte(store: ReleaseStore, bucket: Bucket, tmp_path: Path) -> None:
    published = publish(store, tmp_path, "one")
    assert store.releases() == [published]
    assert store.show(published.id).release.target == "python-cpu"
    assert store.show(published.id).model == "mone"
    assert published.size == sum(file.stat().st_size for file in (tmp_path / "one").rglob("*") if file.is_file())
    back = store.download(published.id, tmp_path / "down")
    assert back == read_release(tmp_path / "down" / published.id)
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            assert (back.path / file.relative_to(tmp_path / "one")).read_bytes() == file.read_bytes()
    folders = {key.removeprefix("team/releases/").split("/")[0] for key in bucket.names()}
    assert folders == {"data", "releases", "pointer.json"}  # no lease is left


def test_publishing_again_uploads_nothing(store: ReleaseStore, bucket: Bucket, tmp_path: Path) -> None:
    first = publish(store, tmp_path, "one")
    before = bucket.names()
    assert publish(store, tmp_path, "one") == first
    assert bucket.names() == before


def test_a_release_that_was_changed_on_disk_is_not_published(store: ReleaseStore, tmp_path: Path) -> None:
    release = make_release(tmp_path / "r", {"a": b"whole"})
    (tmp_path / "r" / "a").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="was changed before or during its upload"):
        store.publish(release, "m")
    assert store.releases() == []


def test_a_file_that_is_damaged_in_the_store_is_refused_at_download(
    store: ReleaseStore, bucket: Bucket, tmp_path: Path
) -> None:
    published = publish(store, tmp_path, "one")
    bucket.put(f"team/releases/{published.data}reference.parquet", b"ROWS")
    with pytest.raises(ArtifactError, match=r"damaged in the store(.|\n)*reference\.parquet"):
        store.download(published.id, tmp_path / "down")
    assert not (tmp_path / "down" / published.id).exists()


def test_a_release_that_was_damaged_on_disk_is_downloaded_again(store: ReleaseStore, tmp_path: Path) -> None:
    published = publish(store, tmp_path, "one")
    file = store.download(published.id, tmp_path / "down").path / "reference.parquet"
    file.write_bytes(b"ROWS")
    store.download(published.id, tmp_path / "down")
    assert file.read_bytes() == b"rows"


def test_a_file_that_changes_during_its_upload_is_not_published(
    store: ReleaseStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = S3Objects.upload

    def damaged(self: S3Objects, file: Path, key: str) -> None:
        upload(self, file, key)
        bucket.put(self.prefix + key, b"noise")

    monkeypatch.setattr(S3Objects, "upload", damaged)
    with pytest.raises(ArtifactError, match="was changed before or during its upload"):
        publish(store, tmp_path, "one")
    assert store.releases() == []


def test_an_unknown_release_is_named_together_with_the_known_ones(store: ReleaseStore, tmp_path: Path) -> None:
    published = publish(store, tmp_path, "one")
    with pytest.raises(InputError, match=rf"no such release(.|\n)*0000(.|\n)*{published.id[:16]}"):
        store.show("0000")


def test_a_published_release_of_an_older_version_is_left_out_and_published_again(
    store: ReleaseStore, bucket: Bucket, tmp_path: Path
) -> None:
    old, other = publish(store, tmp_path, "one"), publish(store, tmp_path, "two")
    bucket.put(f"team/releases/releases/{old.id}.json", b'{"about": {}}')
    assert store.releases() == [other]
    with pytest.raises(ArtifactError, match=r"published_release version 0(.|\n)*`embedtune deploy` again"):
        store.show(old.id)
    again = store.publish(read_release(tmp_path / "one"), "mone")
    assert again.id == old.id
    assert store.download(old.id, tmp_path / "down").id == old.id


def test_the_record_of_another_release_under_its_name_is_refused(
    store: ReleaseStore, bucket: Bucket, tmp_path: Path
) -> None:
    good, bad = publish(store, tmp_path, "good"), publish(store, tmp_path, "bad")
    key = f"team/releases/releases/{good.id}.json"
    whole = bucket.client.get_object(bucket.name, key).data
    other = bucket.client.get_object(bucket.name, f"team/releases/releases/{bad.id}.json").data
    for forged in (other, whole.replace(b'"python-cpu"', b'"onnxruntime"')):
        bucket.put(key, forged)
        for name in (good.id, good.id[:16]):
            with pytest.raises(ArtifactError, match=rf"is not release {good.id[:16]}: it was replaced or changed"):
                store.download(name, tmp_path / "down")
        assert [release.id for release in store.releases()] == [bad.id]
    # Publishing it again repairs it.
    assert store.publish(read_release(tmp_path / "good"), "mgood").id == good.id
    assert store.download(good.id, tmp_path / "down").id == good.id


def test_the_beginning_of_an_id_names_a_release_if_it_is_long_enough(store: ReleaseStore, tmp_path: Path) -> None:
    published = publish(store, tmp_path, "one")
    assert store.show(published.id[:8]) == published
    with pytest.raises(InputError, match="no such release"):
        store.show(published.id[:7])


CHILD = """
import sys
from pathlib import Path
from tests.support.minio_server import MinioServer, needs_program
from tests.support.object_store import SECRETS, STORAGE
from embedtune.serve.release.record import read_release
from embedtune.serve.store.store import ReleaseStore
store = ReleaseStore(sys.argv[1], STORAGE, SECRETS, float(sys.argv[2]))
store.publish(read_release(Path(sys.argv[3])), "m")
"""


def test_a_process_killed_during_an_upload_publishes_nothing_and_the_next_one_cleans_up(
    store: ReleaseStore, bucket: Bucket, tmp_path: Path
) -> None:
    name = make_release(tmp_path / "r", {"a": b"small", "b": os.urandom(BIG)}).id
    command = [sys.executable, "-c", CHILD, store.objects.uri, str(LIFE_S), str(tmp_path / "r")]
    child = subprocess.Popen(command)
    wait_until(lambda: any(key.endswith("/a") for key in bucket.names()))
    data = next(key for key in bucket.names() if key.endswith("/a")).removesuffix("a")
    wait_until(lambda: bucket.unfinished(f"{data}b") == 1)
    child.send_signal(signal.SIGKILL)
    child.wait()

    assert store.releases() == []
    with pytest.raises(InputError, match="no such release"):
        store.download(name, tmp_path / "down")
    assert store.clean() == []  # as far as others know, it may still be alive
    time.sleep(LIFE_S + 1)
    subprocess.run(command, check=True)  # started again

    published = store.show(name)
    assert published.data != data.removeprefix("team/releases/")
    assert {key for key in bucket.names() if key.startswith(data)} == set()
    assert bucket.unfinished(f"{data}b") == 0
    assert not [key for key in bucket.names() if "/uploads/" in key]
    assert store.download(name, tmp_path / "down").path.is_dir()


def test_a_stalled_upload_that_was_presumed_dead_does_not_publish_afterwards(
    store: ReleaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its renewals do not arrive.
    monkeypatch.setattr("embedtune.serve.store.lease.Lease._keep", lambda self, stop: None)
    real, stalled = S3Objects.sha256, []

    def stall(self: S3Objects, key: str) -> str:
        digest = real(self, key)
        if key.endswith("release.json"):
            time.sleep(LIFE_S + 1)
            stalled.extend(store.clean())
        return digest

    monkeypatch.setattr(S3Objects, "sha256", stall)
    with pytest.raises(ConflictError):
        publish(store, tmp_path, "one")
    assert len(stalled) == 1
    assert store.releases() == []
    assert store.objects.keys("data/") == []


def test_processes_that_publish_the_same_release_at_once_all_succeed(store: ReleaseStore, tmp_path: Path) -> None:
    release = make_release(tmp_path / "r", {"a": b"x" * 1000})
    name, results = release.id, []

    def publish_it() -> None:
        results.append(store.publish(release, "m"))

    threads = [threading.Thread(target=publish_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.id for result in results] == [name] * 4
    assert store.objects.keys("data/") == [f"{store.show(name).data}{file}" for file in ("a", "release.json")]


@needs_program
def test_a_server_killed_during_an_upload_has_no_partial_release_afterwards(tmp_path: Path) -> None:
    with MinioServer(tmp_path / "minio") as server:
        bucket = Bucket(server.endpoint)
        store = ReleaseStore(f"s3://{bucket.name}/r", server.storage, SECRETS, LIFE_S)
        release = make_release(tmp_path / "r", {"a": b"small", "b": os.urandom(BIG)})
        failures: list[InputError] = []

        def attempt() -> None:
            try:
                store.publish(release, "m")
            except InputError as error:
                failures.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        wait_until(lambda: any(key.endswith("/a") for key in bucket.names()))
        server.kill()
        thread.join()
        assert len(failures) == 1
        assert server.endpoint in str(failures[0])

        server.start()
        assert store.releases() == []
        time.sleep(LIFE_S + 1)
        assert store.publish(release, "m").id == release.id
        assert len({key.split("/")[1] for key in store.objects.keys("data/")}) == 1
        assert store.download(release.id, tmp_path / "down").path.is_dir()


def test_the_store_needs_no_torch() -> None:
    code = "import sys, embedtune.serve.store.store; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for module in ("torch", "transformers", "sentence_transformers", "datasets", "faiss", "pyarrow"):
        assert f"'{module}'" not in loaded
    assert ENDPOINT
