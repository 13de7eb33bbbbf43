"""The switch: all replicas at one moment, never an old release afterwards, and the ways to and fro."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from embedtune.core.config.deploy import DeploySettings
from embedtune.core.errors import GateError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import flip, go_live, previous
from embedtune.deploy.site import ServingSite
from embedtune.serve.replica import follower
from embedtune.serve.store import pointer, replicas
from embedtune.serve.store.objects import ConflictError
from tests.support.replicas import FakeReplica, a_replica, following
from tests.support.waiting import wait_until

QUIET = SilentProgress()


def test_a_replica_that_is_presumed_gone_is_not_waited_for(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(site, published["one"], QUIET)
    monkeypatch.setattr(replicas, "GONE_S", 1.0)
    monkeypatch.setattr(follower, "BEAT_S", 0.1)
    three[2].stalled.set()
    assert go_live(site, published["two"], QUIET).live
    # It had read the pointer before: it knows of no switch, and answers as before until its follower is presumed
    # dead.
    assert [replica.answers() for replica in three] == [published["two"], published["two"], published["one"]]


def test_a_replica_that_stalls_after_its_proof_does_not_answer_with_the_old_release_after_the_switch(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = published["one"], published["two"]
    go_live(site, one, QUIET)
    switch = pointer.switch

    def stall(*given: object) -> object:
        three[0].stalled.set()
        wait_until(lambda: three[0].serving().fence_at is not None)
        return switch(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pointer, "switch", stall)
    deploying = threading.Thread(target=go_live, args=(site, two, QUIET))
    deploying.start()
    wait_until(lambda: three[1].answers() == two)
    assert three[0].answers() is None
    three[0].stalled.clear()
    deploying.join()
    assert three[0].answers() == two


def test_once_a_replica_answers_with_the_new_release_none_answers_with_the_old_one(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    go_live(site, published["one"], QUIET)
    done = threading.Event()
    first: dict[str, float] = {}  # when a release had answered for the first time
    last: dict[str, float] = {}  # when it was asked for the last time and answered

    def watch() -> None:
        while not done.is_set():
            for replica in three:
                asked = time.monotonic()
                if answer := replica.answers():
                    first.setdefault(answer, time.monotonic())
                    last[answer] = asked

    watching = threading.Thread(target=watch)
    watching.start()
    for model in ("two", "three"):
        go_live(site, published[model], QUIET)
    done.set()
    watching.join()
    # Each follower estimates the clock of the store by itself, to a few milliseconds.
    for old, new in (("one", "two"), ("two", "three")):
        assert last[published[old]] < first[published[new]] + 0.05


def test_with_a_manual_flip_the_candidate_answers_by_its_name_until_it_is_flipped(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    one, two = published["one"], published["two"]
    go_live(site, one, QUIET)
    held = go_live(site, two, QUIET, hold=True)
    assert not held.live
    assert [replica.answers() for replica in three] == [one] * 3
    assert all(replica.serving().candidate == two for replica in three)
    assert all(replica.serving().model_of(two) for replica in three)
    assert all(replica.serving().fence_at is None for replica in three)
    with pytest.raises(InputError, match=rf"{one[:16]} is not the candidate(.|\n)*{two[:16]}"):
        flip(site, one[:16], QUIET)
    assert flip(site, two[:16], QUIET).live
    assert [replica.answers() for replica in three] == [two] * 3


def test_a_failed_flip_keeps_the_candidate(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(site, published["one"], QUIET)
    go_live(site, published["two"], QUIET, hold=True)

    def lost(*given: object) -> None:
        raise ConflictError("changed by another process")

    monkeypatch.setattr(pointer, "switch", lost)
    with pytest.raises(ConflictError):
        flip(site, published["two"], QUIET)
    candidate = site.store.pointer().candidate
    assert candidate is not None
    assert (candidate.id, candidate.hold) == (published["two"], True)


def test_without_memory_for_two_nothing_answers_while_the_candidate_is_proven(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    turns = replace(site, deploy=DeploySettings(target="kubernetes", timeout_s=20, memory="turns"))
    for model in ("one", "two"):
        go_live(turns, published[model], QUIET)
    assert [replica.answers() for replica in three] == [published["two"]] * 3
    one, two = published["one"][:16], published["two"][:16]
    assert all(
        replica.loader.log == [f"load {one} next to ", f"unload {one}", f"load {two} next to "]
        for replica in three
    )
    with pytest.raises(GateError, match=rf"{two} is live"):
        go_live(turns, published["wrong"], QUIET)
    wait_until(lambda: [replica.answers() for replica in three] == [published["two"]] * 3)


def test_going_back_takes_the_release_that_is_still_loaded_and_forgets_what_was_live_since(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    for model in ("one", "two"):
        go_live(site, published[model], QUIET)
    before = [list(replica.loader.log) for replica in three]
    assert previous(site) == published["one"]
    go_live(site, published["one"], QUIET, back=True)
    assert [replica.loader.log for replica in three] == before
    now = site.store.pointer()
    assert (now.live, now.before) == (published["one"], ())
    with pytest.raises(InputError, match="no release to go back to"):
        previous(site)


def test_a_replica_that_starts_during_a_deployment_is_waited_for(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], tmp_path: Path
) -> None:
    go_live(site, published["one"], QUIET)
    late = a_replica(site.store, tmp_path / "late", "late")
    three[0].loader.slow_s = 1.0
    late.loader.slow_s = 0.5
    deploying = threading.Thread(target=go_live, args=(site, published["two"], QUIET))
    deploying.start()
    time.sleep(0.2)
    with following(late):
        deploying.join()
        assert late.answers() == published["two"]
