"""A replica that starts while the release store cannot be read: what it may answer, and for how long."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import StoreAwayError
from embedtune.core.secrets import Secrets
from embedtune.serve.release.record import read_release
from embedtune.serve.release.signature import Signing
from embedtune.serve.replica.follower import Kept
from embedtune.serve.replica.kept_pointer import KEPT_FILE, PointerKeeper
from embedtune.serve.store import pointer
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.records import Candidate, Pointer
from embedtune.serve.store.replicas import read_replicas
from embedtune.serve.store.store import ReleaseStore
from tests.support.releases import key_pair
from tests.support.replicas import FakeReplica, a_replica
from tests.support.serving_world import make_release

HOUR = 3600.0


class World:
    """A store that can be away, a node with a cache, and a clock that can be ahead."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path, self.patch = tmp_path, monkeypatch
        self.store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())
        self.later = 0.0
        self.starts = 0

    def clock(self) -> float:
        return time.time() + self.later

    def publish(self, model: str) -> str:
        return self.store.publish(make_release(self.tmp_path / "built", model), model).id

    def point(self, to: Pointer) -> None:
        self.store.objects.write(pointer.POINTER, to)

    def away(self, is_away: bool = True) -> None:
        def refuse(*given: object) -> None:
            raise StoreAwayError("the object store refused the request or did not answer")

        self.patch.undo()
        if is_away:
            for name in ("read", "write", "download", "keys"):
                self.patch.setattr(DirectoryObjects, name, refuse)

    def start(self, *, fresh: bool = True, store: ReleaseStore | None = None, hours: float = 24.0) -> FakeReplica:
        """Start a replica on this node: a new pod with an empty folder of its own, unless it is not fresh."""
        self.starts += fresh
        store = store or self.store
        cache = self.tmp_path / "cache"
        kept = Kept(PointerKeeper(cache, store.objects.place, self.clock), hours * HOUR)
        return a_replica(store, self.tmp_path / f"pod-{self.starts}", kept=kept, cache=cache)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def settle(replica: FakeReplica) -> FakeReplica:
    """Poll and work until there is nothing to do."""
    replica.follower.poll()
    while replica.follower.step():
        replica.follower.poll()
    return replica


@pytest.mark.parametrize("fresh", [True, False], ids=["a new pod on the node", "the same pod again"])
def test_it_answers_with_the_release_that_was_live_at_the_last_reading(world: World, fresh: bool) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    assert settle(world.start()).answers() == one
    world.away()
    replica = settle(world.start(fresh=fresh))
    assert replica.answers() == one
    assert len(replica.loader.log) == 1  # it was proven in this process too
    assert replica.serving().kept
    assert "did not answer" in replica.serving().doing


def test_without_a_cache_of_the_node_it_waits_and_says_why(world: World) -> None:
    world.away()
    replica = settle(world.start())
    assert replica.answers() is None
    assert "the release store cannot be read" in replica.serving().doing


def test_it_answers_for_a_bounded_time_after_that_reading(world: World) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    world.away()
    world.later = 20 * HOUR
    replica = settle(world.start(hours=24))
    now = time.monotonic()
    assert replica.serving().fence_at == pytest.approx(now + 4 * HOUR, abs=60)
    assert replica.answers() == one
    world.later = 24.1 * HOUR
    assert settle(world.start(hours=24)).answers() is None


def test_zero_hours_turn_it_off(world: World) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    world.away()
    assert settle(world.start(hours=0)).answers() is None


def test_nothing_answers_by_a_reading_during_which_a_switch_was_about_to_come(world: World) -> None:
    one, two = world.publish("one"), world.publish("two")
    world.point(Pointer(live=one))
    replica = settle(world.start())
    pointer.propose(world.store.objects, Candidate(id=two, token="t", hold=False))
    settle(replica)
    world.away()
    again = settle(world.start())
    assert again.answers() is None
    # Who pins a release knows which one answers, so both do; and the next switch finds them loaded.
    assert {entry.id for entry in again.serving().proven} == {one, two}


def test_after_a_switch_that_was_read_the_new_release_answers_and_never_the_old_one(world: World) -> None:
    one, two = world.publish("one"), world.publish("two")
    world.point(Pointer(live=one))
    replica = settle(world.start())
    world.point(Pointer(live=two, kept=one))
    settle(replica)
    world.away()
    again = settle(world.start())
    assert again.answers() == two
    assert {entry.id for entry in again.serving().proven} == {one, two}


def test_when_the_store_is_back_its_pointer_counts_from_the_first_reading(world: World) -> None:
    one, two = world.publish("one"), world.publish("two")
    world.point(Pointer(live=one))
    settle(world.start())
    world.away()
    replica = settle(world.start())
    assert replica.answers() == one
    world.away(False)
    world.point(Pointer(live=two))
    replica.follower.poll()
    assert replica.answers() is None  # it knows of the switch, and has not proven the new release yet
    assert not replica.serving().kept
    settle(replica)
    assert replica.answers() == two
    assert read_replicas(world.store.objects)[0].record.live == two


def test_a_candidate_that_could_not_be_loaded_meanwhile_is_tried_again(world: World) -> None:
    one, two = world.publish("one"), world.publish("two")
    world.point(Pointer(live=one, candidate=Candidate(id=two, token="t", hold=True)))
    world.start().follower.poll()  # read and kept; nothing was downloaded yet
    world.away()
    replica = settle(world.start())
    assert (replica.answers(), replica.loader.log) == (None, [])
    world.away(False)
    settle(replica)
    assert replica.answers() == one
    assert read_replicas(world.store.objects)[0].record.token == "t"


def test_the_pointer_of_another_store_does_not_count(world: World, tmp_path: Path) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    world.away()
    other = ReleaseStore(str(tmp_path / "other"), StorageSettings(), Secrets())
    assert settle(world.start(store=other)).answers() is None


def test_a_store_that_answers_that_nothing_is_live_is_believed(world: World) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    world.store.objects.delete([pointer.POINTER])
    assert settle(world.start()).answers() is None
    world.away()
    assert settle(world.start()).answers() is None


def test_a_file_of_the_cache_that_was_changed_is_not_served(world: World, tmp_path: Path) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    (file,) = (tmp_path / "cache").rglob("name")
    file.unlink()
    file.write_text("two")
    world.away()
    assert settle(world.start()).answers() is None
    world.away(False)
    assert settle(world.start()).answers() == one


def test_what_is_in_the_cache_must_be_signed_as_what_is_in_the_store(world: World, tmp_path: Path) -> None:
    key, public = key_pair(tmp_path)
    one = world.publish("one")
    world.point(Pointer(live=one))
    settle(world.start())
    strict = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets(), signing=Signing(key, public))
    world.away()
    assert settle(world.start(store=strict)).answers() is None
    world.away(False)
    strict.publish(read_release(tmp_path / "built" / one), "one")  # which adds the signature
    settle(world.start(store=strict))
    world.away()
    assert settle(world.start(store=strict)).answers() == one


def test_releases_that_are_no_longer_wanted_leave_the_cache(world: World, tmp_path: Path) -> None:
    names = [world.publish(model) for model in ("one", "two", "three")]
    replica = world.start()
    for before, name in zip([None, *names], names, strict=False):
        world.point(Pointer(live=name, kept=before))
        settle(replica)
    folders = {path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()}
    assert folders == {names[1], names[2]}


def test_a_cache_that_cannot_be_written_costs_only_the_next_start(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = world.publish("one")
    world.point(Pointer(live=one))
    (tmp_path / "cache").write_text("not a folder")
    assert settle(world.start()).answers() == one
    assert "cannot be used" in caplog.text
    assert "the pointer cannot be kept" in caplog.text


def keeper(tmp_path: Path, clock: Callable[[], float] = lambda: 1000.0) -> PointerKeeper:
    return PointerKeeper(tmp_path, "minio:9000/models/", clock)


def test_the_latest_reading_by_the_stores_clock_is_kept(tmp_path: Path) -> None:
    keeper(tmp_path).keep(Pointer(live="b" * 64), store_time=50.0, age_s=0.5)
    keeper(tmp_path).keep(Pointer(live="a" * 64), store_time=49.0, age_s=0.0)  # of a slower replica
    found = keeper(tmp_path).find()
    assert found is not None
    assert (found.pointer.live, found.read_at) == ("b" * 64, 999.5)


def test_an_unchanged_pointer_is_written_every_ten_seconds_and_a_changed_one_at_once(tmp_path: Path) -> None:
    now = [1000.0]
    kept = keeper(tmp_path, lambda: now[0])

    def read_at(pointer: Pointer) -> float:
        kept.keep(pointer, store_time=now[0], age_s=0.0)
        found = kept.find()
        assert found is not None
        return found.read_at

    assert read_at(Pointer(live="a" * 64)) == 1000.0
    now[0] = 1009.0
    assert read_at(Pointer(live="a" * 64)) == 1000.0
    now[0] = 1010.0
    assert read_at(Pointer(live="a" * 64)) == 1010.0
    for now[0] in (1011.0, 1012.0, 1013.0):  # a switch at 1012 is announced, and comes
        assert read_at(Pointer(live="b" * 64, kept="a" * 64, switch_at=1012.0)) == min(now[0], 1012.0)


def test_a_pointer_that_cannot_be_replaced_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keeper(tmp_path)
    kept.keep(Pointer(live="a" * 64), store_time=1.0, age_s=0.0)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    kept.keep(Pointer(live="b" * 64), store_time=2.0, age_s=0.0)
    assert not (tmp_path / KEPT_FILE).exists()


def test_a_reading_from_the_future_or_half_of_one_does_not_count(tmp_path: Path) -> None:
    keeper(tmp_path, lambda: 2000.0).keep(Pointer(live="a" * 64), store_time=1.0, age_s=0.0)
    assert keeper(tmp_path, lambda: 2000.0).find() is not None
    assert keeper(tmp_path, lambda: 1999.0).find() is None
    (tmp_path / KEPT_FILE).write_text("{")
    assert keeper(tmp_path, lambda: 2000.0).find() is None
