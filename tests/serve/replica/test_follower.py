"""A follower alone: what it tells gateways and the store, whatever happens to the store and to its releases."""

import errno
import json
import time
from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.replica import follower as module
from embedtune.serve.store import pointer
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.records import Candidate, Pointer
from embedtune.serve.store.replicas import read_replicas
from embedtune.serve.store.store import ReleaseStore
from tests.support.replicas import FakeReplica, a_replica
from tests.support.serving_world import make_release


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())


@pytest.fixture
def replica(store: ReleaseStore, tmp_path: Path) -> FakeReplica:
    return a_replica(store, tmp_path / "replica")


def publish(store: ReleaseStore, folder: Path, model: str, **more: bool) -> str:
    return store.publish(make_release(folder / "built", model, **more), model).id


def settle(replica: FakeReplica) -> None:
    """Poll and work until there is nothing to do."""
    replica.follower.poll()
    while replica.follower.step():
        replica.follower.poll()


def test_before_the_first_release_it_waits(store: ReleaseStore, replica: FakeReplica) -> None:
    settle(replica)
    assert replica.answers() is None
    ((name, record),) = [(found.name, found.record) for found in read_replicas(store.objects)]
    assert (name, record.live, record.proven, record.error) == ("replica", None, {}, None)


def test_a_release_answers_only_after_its_proof(store: ReleaseStore, replica: FakeReplica, tmp_path: Path) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    replica.follower.poll()
    assert replica.answers() is None
    settle(replica)
    assert replica.answers() == one
    (found,) = read_replicas(store.objects)
    assert (found.record.live, set(found.record.proven)) == (one, {one})


def test_a_live_release_that_fails_its_proof_answers_nobody_and_is_tried_again(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = publish(store, tmp_path, "one", wrong=True)
    store.objects.write(pointer.POINTER, Pointer(live=wrong))
    settle(replica)
    assert replica.answers() is None
    (found,) = read_replicas(store.objects)
    assert "does not return the trained vectors" in str(found.record.error)
    assert "does not return the trained vectors" in replica.serving().doing
    assert len(replica.loader.log) == 1
    settle(replica)
    assert len(replica.loader.log) == 1
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    replica.follower._state.failed[wrong] = (replica.follower._state.failed[wrong][0], 0.0)
    replica.follower.step()
    assert len(replica.loader.log) == 2


def test_a_pointer_that_is_lost_leaves_everything_as_it_is(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)
    store.objects.delete([pointer.POINTER])
    settle(replica)
    assert replica.answers() == one
    assert "it is lost, and what it named stays as it is" in caplog.text


def odd_pointer(**fields: object) -> bytes:
    """Return a pointer as somebody may write it who can write to the store."""
    return json.dumps({"schema_name": "release_pointer", "schema_version": 1, **fields}).encode()


ODD = {
    "a lone surrogate": odd_pointer(live="\ud800" * 64),
    "a lone surrogate as bytes": odd_pointer(since="SURROGATE").replace(b"SURROGATE", b"\xed\xa0\x80"),
    "a lone surrogate elsewhere": odd_pointer(since="\udfff"),
    "the beginning of an id": odd_pointer(live="0" * 16),
    "no id": odd_pointer(live=""),
    "a path": odd_pointer(live="../../secret"),
    "a null byte": odd_pointer(live="a\0b"),
    "two lines": odd_pointer(live="0" * 64 + "\nembedtune.serve FAKE"),
    "a path before": odd_pointer(kept="/etc/passwd"),
    "a path next": odd_pointer(candidate={"id": "../x", "token": "t", "hold": False, "until": 1e300}),
    "no number": b'{"schema_name": "release_pointer", "schema_version": 1, "switch_at": NaN}',
    "a huge number": odd_pointer(switch_at=10**400),
    "depth": b"[" * 100_000,
    "nine megabytes": odd_pointer(before=["0" * 64] * 140_000),
    "a version of two lines": odd_pointer(schema_version="9\nembedtune.serve FAKE"),
    "a name of two lines": odd_pointer(**{"x\nembedtune.serve FAKE": 1}),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_a_pointer_that_nobody_of_us_wrote_leaves_everything_as_it_is(
    content: bytes, store: ReleaseStore, replica: FakeReplica, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)
    (tmp_path / "store" / pointer.POINTER).write_bytes(content)
    settle(replica)
    assert replica.answers() == one
    assert "the pointer cannot be read" in caplog.text
    assert "\nembedtune.serve FAKE" not in caplog.text
    assert len(caplog.text) < 4_000
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)
    assert (replica.answers(), replica.loader.log) == (one, [f"load {one[:16]} next to "])


def test_a_disk_without_room_ends_no_replica(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(Path, "write_text", full)
        settle(replica)
    (found,) = read_replicas(store.objects)
    assert found.record.live == one
    settle(replica)
    assert replica.answers() == one


def test_a_store_that_does_not_answer_leaves_everything_as_it_is(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)

    def refuse(*given: object) -> None:
        raise InputError("the store does not answer")

    for name in ("read", "write"):
        monkeypatch.setattr(DirectoryObjects, name, refuse)
    settle(replica)
    assert replica.answers() == one
    assert replica.serving().fence_at is None


def test_while_a_switch_may_come_the_file_counts_only_as_long_as_the_pointer_is_read(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path
) -> None:
    one, two = publish(store, tmp_path, "one"), publish(store, tmp_path, "two")
    store.objects.write(pointer.POINTER, Pointer(live=one))
    settle(replica)
    pointer.propose(store.objects, Candidate(id=two, token="t", hold=False))
    settle(replica)
    now = time.monotonic()
    assert replica.serving().live_at(now) == one
    assert replica.serving().live_at(now + pointer.FENCE_S + 0.1) is None
    (found,) = read_replicas(store.objects)
    assert found.record.token == "t"


def test_a_pruned_release_that_was_kept_for_a_way_back_does_no_harm(
    store: ReleaseStore, replica: FakeReplica, tmp_path: Path
) -> None:
    one = publish(store, tmp_path, "one")
    store.objects.write(pointer.POINTER, Pointer(live=one, kept="0" * 64))
    settle(replica)
    assert replica.answers() == one


def test_one_that_ends_in_good_order_is_not_waited_for(store: ReleaseStore, replica: FakeReplica) -> None:
    settle(replica)
    replica.follower.close()
    assert read_replicas(store.objects) == []
