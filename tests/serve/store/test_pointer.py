"""The pointer: what is live and what follows it, which releases may be deleted, and the lock to change it."""

import time
from pathlib import Path

import pytest

from embedtune.core.errors import ArtifactError, InputError
from embedtune.serve.store import pointer
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import ABSENT, ConflictError, S3Objects
from embedtune.serve.store.pointer import POINTER
from embedtune.serve.store.records import Candidate, Pointer
from embedtune.serve.store.store import ReleaseStore
from tests.support.object_store import Bucket, needs_server
from tests.support.releases import publish

pytestmark = needs_server
LIFE_S = 1.5  # of a lease; the store's clock counts whole seconds


def propose(store: ReleaseStore, name: str, *, back: bool = False, **more: bool) -> str:
    """Make a release the candidate and return the token of the attempt."""
    candidate = Candidate(id=name, token=f"{name}-attempt", hold=False, back=back, **more)
    pointer.propose(store.objects, candidate)
    return candidate.token


def go_live(store: ReleaseStore, name: str, *, back: bool = False) -> Pointer:
    return pointer.switch(store.objects, propose(store, name, back=back))


def live(store: ReleaseStore) -> tuple[str | None, tuple[str, ...]]:
    now = store.pointer()
    return now.live, now.before


def test_the_pointer_remembers_what_was_live(store: ReleaseStore) -> None:
    assert live(store) == (None, ())
    for name in ("one", "two", "three"):
        go_live(store, name)
    assert live(store) == ("three", ("one", "two"))
    go_live(store, "two", back=True)
    assert live(store) == ("two", ("one",))
    go_live(store, "three")
    assert live(store) == ("three", ("one", "two"))


def test_until_the_announced_moment_the_old_release_answers_and_then_the_new_one(store: ReleaseStore) -> None:
    first = go_live(store, "one")
    assert (first.switch_at, first.kept) == (0.0, None)  # nobody answered before it
    second = go_live(store, "two")
    at = second.switch_at
    # The store's clock counts whole seconds.
    assert pointer.AHEAD_S - 1 <= at - store.objects.now() <= pointer.AHEAD_S + 1
    assert [pointer.answering(second, now) for now in (at - 0.001, at)] == ["one", "two"]
    assert [pointer.switching(second, now) for now in (at - 0.001, at)] == [True, False]
    assert pointer.wanted(second, at - 1) == ["one", "two"]
    assert pointer.wanted(second, at) == ["two", "one"]  # kept for a way back


def test_a_candidate_takes_the_place_of_the_release_kept_for_a_way_back(store: ReleaseStore) -> None:
    go_live(store, "one")
    at = go_live(store, "two").switch_at
    token = propose(store, "three")
    assert pointer.wanted(store.pointer(), at) == ["two", "three"]
    assert pointer.switching(store.pointer(), at)
    pointer.withdraw(store.objects, token)
    assert pointer.wanted(store.pointer(), at) == ["two", "one"]
    assert not pointer.switching(store.pointer(), at)


def test_a_candidate_that_waits_for_its_flip_switches_nothing(store: ReleaseStore) -> None:
    go_live(store, "one")
    pointer.propose(store.objects, Candidate(id="two", token="t", hold=True))
    assert not pointer.switching(store.pointer(), 0.0)


def test_without_memory_for_two_only_the_candidate_is_loaded_and_the_switch_is_immediate(
    store: ReleaseStore,
) -> None:
    go_live(store, "one")
    token = propose(store, "two", alone=True)
    assert pointer.wanted(store.pointer(), 1.0) == ["two"]
    switched = pointer.switch(store.objects, token)
    assert (switched.switch_at, switched.kept, switched.before) == (0.0, None, ("one",))


def test_a_candidate_that_its_deployment_left_alone_cannot_be_switched_to_any_more(store: ReleaseStore) -> None:
    go_live(store, "one")
    token = propose(store, "two")
    until = store.pointer().candidate.until  # type: ignore[union-attr]
    assert [pointer.switching(store.pointer(), now) for now in (until - 1, until)] == [True, False]
    stale = store.pointer().candidate.model_copy(update={"until": 1.0})  # type: ignore[union-attr]
    store.objects.write("pointer.json", store.pointer().model_copy(update={"candidate": stale}))
    with pytest.raises(ConflictError, match="left alone"):
        pointer.switch(store.objects, token)
    pointer.extend(store.objects, token)
    assert pointer.switch(store.objects, token).live == "two"
    with pytest.raises(ConflictError, match="another process"):
        pointer.extend(store.objects, token)


def test_only_the_attempt_that_is_the_candidate_can_switch(store: ReleaseStore) -> None:
    go_live(store, "one")
    old = propose(store, "two")
    propose(store, "three")
    with pytest.raises(ConflictError):
        pointer.switch(store.objects, old)
    pointer.withdraw(store.objects, old)
    candidate = store.pointer().candidate
    assert candidate is not None
    assert (store.pointer().live, candidate.id) == ("one", "three")


def test_a_pointer_that_changed_since_it_was_read_is_not_overwritten(store: ReleaseStore) -> None:
    etag = store.objects.write("pointer.json", Pointer(live="a"), ABSENT)
    go_live(store, "b")
    with pytest.raises(ConflictError):
        store.objects.write("pointer.json", Pointer(live="c"), etag)
    assert live(store) == ("b", ("a",))


def test_a_store_of_an_earlier_version_is_refused_with_what_to_do(store: ReleaseStore, bucket: Bucket) -> None:
    bucket.put("team/releases/live.json", b'{"id": "0000", "since": "", "before": []}')
    with pytest.raises(
        ArtifactError, match=r"earlier version(.|\n)*delete s3://.*live\.json, run `embedtune deploy`"
    ):
        store.pointer()


def test_a_store_that_ignores_conditions_has_no_lock_and_is_refused(
    store: ReleaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = S3Objects.write
    monkeypatch.setattr(
        S3Objects, "write", lambda self, key, record, condition=None: write(self, key, record, None)
    )
    said = r"ignores conditional writes(.|\n)*If-None-Match(.|\n)*409 or 412"
    with pytest.raises(InputError, match=said), store.locked():
        pass


def test_a_lock_that_cannot_be_given_back_does_not_fail_what_was_done(
    store: ReleaseStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: S3Objects, keys: list[str]) -> None:
        raise InputError("the store does not answer")

    with store.locked():
        monkeypatch.setattr(S3Objects, "delete", refuse)
    assert "could not be released, and expires: the store does not answer" in caplog.text


def test_prune_keeps_the_newest_the_live_one_its_candidate_and_the_one_before_it(
    store: ReleaseStore, tmp_path: Path
) -> None:
    names = []
    for text in ("one", "two", "three", "four", "five", "six"):
        names.append(publish(store, tmp_path, text).id)
    for name in names[:3]:
        go_live(store, name)
    propose(store, names[3])
    assert store.prune(keep=1) == [names[4], names[0]]
    assert [release.id for release in store.releases()] == [names[5], names[3], names[2], names[1]]
    left = {key.split("/")[1].split("-")[0] for key in store.objects.keys("data/")}
    assert left == {name[:16] for name in names} - {names[0][:16], names[4][:16]}


def test_prune_deletes_nothing_while_no_release_is_recorded_as_live(store: ReleaseStore, tmp_path: Path) -> None:
    served, newest = (publish(store, tmp_path, text) for text in ("one", "two"))
    with pytest.raises(InputError, match=rf"{served.id[:16]}(.|\n)*release promote"):
        store.prune(keep=1)
    assert store.releases() == [newest, served]
    assert store.prune(keep=2) == []  # nothing to delete
    go_live(store, newest.id)
    assert store.prune(keep=1) == [served.id]


def test_a_lease_of_another_version_is_respected_until_it_expires(store: ReleaseStore, bucket: Bucket) -> None:
    bucket.put("team/releases/lock.json", b'{"holder": "old"}')
    bucket.put("team/releases/uploads/0123-4567.json", b'{"holder": "old"}')
    assert acquire(store.objects, "lock.json", life_s=30) is None
    time.sleep(LIFE_S + 1)
    assert store.clean() == []  # what it left behind is not known
    with store.locked():
        pass


def test_an_interrupted_deletion_is_finished_by_the_next_clean(
    store: ReleaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(store, tmp_path, "one")
    key, files = f"uploads/{published.data.split('/')[1]}.json", sorted(published.release.hashes)
    assert acquire(store.objects, key, data=published.data, files=files, life_s=LIFE_S) is not None  # and dies
    store.objects.delete([f"releases/{published.id}.json"])
    time.sleep(LIFE_S + 1)
    assert store.clean() == [published.data]
    assert store.objects.keys("") == [POINTER]


def test_a_lost_pointer_does_not_count_as_nothing_live(store: ReleaseStore, tmp_path: Path) -> None:
    assert store.live_release() is None
    served = publish(store, tmp_path, "one")
    # Nothing was live so far, and the store knows it: the first deployment may fail before it is proposed.
    assert store.live_release() is None
    go_live(store, served.id)
    store.objects.delete([POINTER])
    with pytest.raises(ArtifactError, match=r"the record of it is lost(.|\n)*release promote ID"):
        store.live_release()
    # Publishing more does not make it forget.
    publish(store, tmp_path, "two")
    with pytest.raises(ArtifactError, match="the record of it is lost"):
        store.live_release()
    go_live(store, served.id)  # as `release promote` does
    assert store.live_release() == served


def test_one_process_at_a_time_changes_what_is_live(store: ReleaseStore) -> None:
    with store.locked(), pytest.raises(InputError, match="another process"), store.locked():
        pass
    with store.locked():
        pass


def test_the_lock_of_a_dead_process_does_not_block_others(store: ReleaseStore) -> None:
    assert acquire(store.objects, "lock.json", life_s=LIFE_S) is not None  # and is never renewed
    with store.locked():
        assert acquire(store.objects, "lock.json", life_s=LIFE_S) is None


def test_a_lease_that_is_renewed_does_not_expire(store: ReleaseStore) -> None:
    with store.locked():
        time.sleep(2 * LIFE_S + 1)
        assert acquire(store.objects, "lock.json", life_s=LIFE_S) is None
