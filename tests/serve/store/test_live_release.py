"""Which release is live, which ones may be deleted, and the lease of whoever changes that."""

import time
from pathlib import Path

import pytest

from embedtune.core.errors import InputError
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import ABSENT, ConflictError
from embedtune.serve.store.records import Live
from embedtune.serve.store.store import ReleaseStore
from tests.support.object_store import Bucket, needs_server
from tests.support.releases import publish

pytestmark = needs_server
LIFE_S = 1.5  # of a lease; the store's clock counts whole seconds


def live(store: ReleaseStore) -> tuple[str, tuple[str, ...]]:
    now = store.live()
    assert now is not None
    return now.id, now.before


def test_the_live_release_remembers_those_before_it(store: ReleaseStore, tmp_path: Path) -> None:
    one, two, three = (publish(store, tmp_path, text).id for text in ("one", "two", "three"))
    assert store.live() is None
    for name in (one, two, two, three):
        store.set_live(name)
    assert live(store) == (three, (one, two))
    store.set_live(two, back=True)
    assert live(store) == (two, (one,))
    store.set_live(three)
    assert live(store) == (three, (one, two))


def test_a_live_pointer_that_changed_since_it_was_read_is_not_overwritten(store: ReleaseStore) -> None:
    etag = store.objects.write("live.json", Live(id="a", since="", before=()), ABSENT)
    store.set_live("b")
    with pytest.raises(ConflictError):
        store.objects.write("live.json", Live(id="c", since="", before=()), etag)
    assert live(store) == ("b", ("a",))


def test_prune_keeps_the_newest_the_live_one_and_the_one_before_it(store: ReleaseStore, tmp_path: Path) -> None:
    names = []
    for text in ("one", "two", "three", "four", "five"):
        names.append(publish(store, tmp_path, text).id)
    for name in names[:3]:
        store.set_live(name)
    assert store.prune(keep=1) == [names[3], names[0]]
    assert [release.id for release in store.releases()] == [names[4], names[2], names[1]]
    assert {key.split("/")[1].split("-")[0] for key in store.objects.keys("data/")} == set(names) - {
        names[0],
        names[3],
    }


def test_prune_deletes_nothing_while_no_release_is_recorded_as_live(store: ReleaseStore, tmp_path: Path) -> None:
    served, newest = (publish(store, tmp_path, text) for text in ("one", "two"))
    with pytest.raises(InputError, match=rf"{served.id}(.|\n)*release promote"):
        store.prune(keep=1)
    assert store.releases() == [newest, served]
    assert store.prune(keep=2) == []  # nothing to delete
    store.set_live(newest.id)
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
    key, files = f"uploads/{published.data.split('/')[1]}.json", sorted(published.hashes)
    assert acquire(store.objects, key, data=published.data, files=files, life_s=LIFE_S) is not None  # and dies
    store.objects.delete([f"releases/{published.id}.json"])
    time.sleep(LIFE_S + 1)
    assert store.clean() == [published.data]
    assert store.objects.keys("") == []


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
