"""A directory as a release store: the rules of an object store, and releases that are linked, not copied."""

import os
import threading
import time
from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.objects import ABSENT, ConflictError
from embedtune.serve.store.pointer import require_conditional_writes
from embedtune.serve.store.records import LeaseRecord
from embedtune.serve.store.store import ReleaseStore
from tests.support.releases import publish


def lease(number: int) -> LeaseRecord:
    return LeaseRecord(holder="host", token="t", renewals=number)


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "store")


def test_a_write_happens_only_on_its_condition(objects: DirectoryObjects) -> None:
    assert objects.read("a/b.json") is None
    with pytest.raises(ConflictError):
        objects.write("a/b.json", lease(0), "0" * 32)
    first = objects.write("a/b.json", lease(1), ABSENT)
    with pytest.raises(ConflictError):
        objects.write("a/b.json", lease(2), ABSENT)
    second = objects.write("a/b.json", lease(2), first)
    with pytest.raises(ConflictError):
        objects.write("a/b.json", lease(3), first)
    found = objects.read("a/b.json")
    assert found is not None
    assert (found.etag, found.parse(LeaseRecord)) == (second, lease(2))
    require_conditional_writes(objects)


def test_of_many_writers_on_the_same_condition_one_succeeds(objects: DirectoryObjects) -> None:
    etag, won = objects.write("a.json", lease(0)), []

    def write(number: int) -> None:
        try:
            objects.write("a.json", lease(number), etag)
        except ConflictError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = objects.read("a.json")
    assert found is not None
    assert [found.parse(LeaseRecord).renewals] == won


def test_the_age_of_an_object_is_the_time_since_its_last_write(objects: DirectoryObjects) -> None:
    objects.write("a.json", lease(0))
    os.utime(objects.folder / "a.json", (time.time() - 90,) * 2)
    found = objects.read("a.json")
    assert found is not None
    assert found.age_s == pytest.approx(90, abs=5)
    objects.write("a.json", lease(1))
    again = objects.read("a.json")
    assert again is not None
    assert again.age_s < 5


def test_a_key_outside_of_the_directory_is_refused(objects: DirectoryObjects) -> None:
    for key in ("../a.json", "/etc/passwd", "a/../../b"):
        with pytest.raises(ArtifactError, match="points outside"):
            objects.write(key, lease(0))


def test_a_release_comes_back_verified_and_takes_its_disk_space_once(tmp_path: Path) -> None:
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())
    published = publish(store, tmp_path, "one")
    back = store.download(published.id[:16], tmp_path / "down")
    files = [tmp_path / "one" / "model.onnx", back.path / "model.onnx"]
    assert files[0].read_bytes() == b"one"
    assert files[0].samefile(files[1])
    stored = next((tmp_path / "store" / "data").rglob("model.onnx"))
    stored.unlink()
    stored.write_bytes(b"two")
    with pytest.raises(ArtifactError, match=r"damaged in the store(.|\n)*model\.onnx"):
        store.download(published.id, tmp_path / "again")


def test_deleting_leaves_no_empty_folders(tmp_path: Path) -> None:
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())
    store.delete([publish(store, tmp_path, "one").id])
    assert store.releases() == []
    assert [path.name for path in (tmp_path / "store").iterdir() if path.is_dir()] == []


def test_a_file_that_cannot_be_used_is_an_error_of_the_store(objects: DirectoryObjects) -> None:
    (objects.folder / "a.json").mkdir(parents=True)
    for work in (lambda: objects.read("a.json"), lambda: objects.write("a.json", lease(0))):
        with pytest.raises(
            InputError, match=r"release store cannot be read or written(.|\n)*a\.json: Is a directory"
        ):
            work()
