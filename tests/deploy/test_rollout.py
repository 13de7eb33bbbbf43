"""Rollout: a release goes live when every replica has proven it; whatever fails, what was live stays live."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.deploy import rollout as module
from embedtune.deploy.rollout import flip, go_live, previous
from embedtune.deploy.site import ServingSite
from embedtune.serve.replica import follower
from embedtune.serve.store import pointer, replicas
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.pointer import LOCK, POINTER
from embedtune.serve.store.store import ReleaseStore
from tests.support.replicas import FakeReplica, a_replica, following
from tests.support.serving_world import make_release

QUIET = SilentProgress()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times: everything is on one machine."""
    monkeypatch.setattr(pointer, "AHEAD_S", 0.6)
    monkeypatch.setattr(follower, "FENCE_S", 0.5)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(module, "NOBODY_S", 0.3)


@pytest.fixture
def site(tmp_path: Path, config: Config) -> ServingSite:
    """A store, with replicas elsewhere."""
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets(), 1.5)
    deploy = DeploySettings(target="kubernetes", timeout_s=20)
    return ServingSite(deploy, config.export, tmp_path / "built", store, StorageSettings())


@pytest.fixture
def published(site: ServingSite, tmp_path: Path) -> dict[str, str]:
    """The ids of the releases in the store: three good ones, and one with the vectors of another model."""
    made = {model: make_release(tmp_path / "built", model, wrong=model == "wrong") for model in MODELS}
    for model, release in made.items():
        site.store.publish(release, model)
    return {model: release.id for model, release in made.items()}


MODELS = ("one", "two", "three", "wrong")


@pytest.fixture
def three(site: ServingSite, tmp_path: Path) -> Iterator[list[FakeReplica]]:
    """Three replicas that follow the store."""
    made = [a_replica(site.store, tmp_path / f"replica-{number}", f"replica-{number}") for number in range(3)]
    with following(*made):
        yield made


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_good_release_goes_live_on_every_replica(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    done = go_live(site, published["one"], QUIET)
    assert (done.release.id, done.before, done.live) == (published["one"], None, True)
    assert (done.drift.texts, done.drift.queries) == (32, 16)
    assert done.drift.cosine.min > 0.9999
    assert [replica.answers() for replica in three] == [published["one"]] * 3
    assert go_live(site, published["two"], QUIET).before == published["one"]
    assert [replica.answers() for replica in three] == [published["two"]] * 3
    # The old one stays loaded for a way back.
    assert all(replica.serving().model_of(published["one"]) for replica in three)


def test_the_live_release_is_not_loaded_again(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    for _ in range(2):
        go_live(site, published["one"], QUIET)
    assert [replica.loader.log for replica in three] == [[f"load {published['one'][:16]} next to "]] * 3


def test_wrong_vectors_never_answer_and_the_live_release_stays(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    one, wrong = published["one"], published["wrong"]
    with pytest.raises(GateError, match=r"failed; nothing is live(.|\n)*trained vectors"):
        go_live(site, wrong, QUIET)
    assert [replica.answers() for replica in three] == [None] * 3
    go_live(site, one, QUIET)
    with pytest.raises(GateError, match=rf"{wrong[:16]} failed; {one[:16]} is live(.|\n)*trained vectors"):
        go_live(site, wrong, QUIET)
    assert [replica.answers() for replica in three] == [one] * 3
    assert not any(replica.serving().model_of(wrong) for replica in three)
    assert (site.store.pointer().live, site.store.pointer().candidate) == (one, None)


def test_one_replica_that_cannot_load_it_is_named_and_nothing_is_switched(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    one, two = published["one"], published["two"]
    go_live(site, one, QUIET)
    three[1].loader.broken.add(two)
    with pytest.raises(GateError, match=rf"{one[:16]} is live(.|\n)*replica-1 cannot(.|\n)*does not start"):
        go_live(site, two, QUIET)
    assert [replica.answers() for replica in three] == [one] * 3
    # The same release again is another attempt.
    three[1].loader.broken.clear()
    assert go_live(site, two, QUIET).live


def test_an_interrupted_deployment_leaves_no_candidate(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(site, published["one"], QUIET)

    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_furthest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        go_live(site, published["two"], QUIET)
    assert (site.store.pointer().live, site.store.pointer().candidate) == (published["one"], None)


def test_progress_extends_the_wait_and_standing_still_ends_it(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica]
) -> None:
    hasty = replace(site, deploy=DeploySettings(target="kubernetes", timeout_s=0.8))
    three[0].loader.slow_s = 2.0  # five steps of 0.4 s each
    assert go_live(hasty, published["one"], QUIET).live
    three[0].loader.slow_s = 10.0
    with pytest.raises(GateError, match=r"no progress for(.|\n)*replica-0: loading"):
        go_live(hasty, published["two"], QUIET)
    assert site.store.pointer().live == published["one"]


def test_without_replicas_it_says_how_to_start_some(site: ServingSite, published: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"no replica follows(.|\n)*charts/triton"):
        go_live(site, published["one"], QUIET)
    assert site.store.pointer().candidate is None


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
        wait(lambda: three[0].serving().fence_at is not None)
        return switch(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pointer, "switch", stall)
    deploying = threading.Thread(target=go_live, args=(site, two, QUIET))
    deploying.start()
    wait(lambda: three[1].answers() == two)
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
    wait(lambda: [replica.answers() for replica in three] == [published["two"]] * 3)


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


def test_an_unknown_release_is_named(site: ServingSite, published: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"no such release(.|\n)*00000000"):
        go_live(site, "00000000", QUIET)


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


@pytest.mark.parametrize(
    ("text", "reason"), [(b"{", "is damaged"), (json.dumps({"id": "0000"}).encode(), "version 0")]
)
def test_an_unreadable_pointer_stops_a_deployment_and_changes_nothing(
    site: ServingSite, published: dict[str, str], three: list[FakeReplica], text: bytes, reason: str
) -> None:
    go_live(site, published["one"], QUIET)
    file = Path(site.store.objects.uri) / POINTER
    file.write_bytes(text)
    said = rf"it is not known which release is live(.|\n)*{reason}(.|\n)*delete .*/{POINTER}(.|\n)*promote ID"
    with pytest.raises(ArtifactError, match=said):
        site.champion()
    with pytest.raises(ArtifactError, match=said):
        go_live(site, published["two"], QUIET)
    assert file.read_bytes() == text
    assert [replica.answers() for replica in three] == [published["one"]] * 3


@pytest.mark.parametrize("model", ["two", "wrong"])
def test_a_process_that_lost_the_lock_switches_nothing(
    site: ServingSite,
    published: dict[str, str],
    three: list[FakeReplica],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    go_live(site, published["one"], QUIET)
    # Its renewals do not arrive.
    monkeypatch.setattr("embedtune.serve.store.lease.Lease._keep", lambda self, stop: None)
    others, propose = [], pointer.propose

    def stall(*given: object) -> None:
        propose(*given)  # type: ignore[arg-type]
        time.sleep(2)
        others.append(acquire(site.store.objects, LOCK, life_s=1.5))

    monkeypatch.setattr(pointer, "propose", stall)
    with pytest.raises(ConflictError if model == "two" else GateError):
        go_live(site, published[model], QUIET)
    assert others[0] is not None
    assert site.store.pointer().live == published["one"]
