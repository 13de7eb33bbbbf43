"""A follower alone: what it tells gateways and the store, whatever happens to the store and to its releases."""

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
