"""Rollout: a release goes live when every replica has proven it; whatever fails, what was live stays live."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from embedtune.core.config.deploy import DeploySettings
from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.deploy import rollout as module
from embedtune.deploy.rollout import go_live
from embedtune.deploy.site import ServingSite
from embedtune.serve.store import pointer
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.pointer import LOCK, POINTER
from tests.support.replicas import FakeReplica

QUIET = SilentProgress()


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


def test_pods_that_do_not_come_up_are_said_at_once_and_once(
    site: ServingSite,
    published: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = []

    def stuck(deploy: DeploySettings) -> list[str] | None:
        looks.append(time.monotonic())
        return ["pod embedtune-triton-a: ErrImagePull: x:1"] if len(looks) < 4 else None

    monkeypatch.setattr(module, "stuck_pods", stuck)
    monkeypatch.setattr(module, "LOOK_S", 0.2)
    monkeypatch.setattr(module, "NOBODY_S", 60.0)
    hasty = replace(site, deploy=DeploySettings(target="kubernetes", timeout_s=2.0))
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"no replica follows"):
        go_live(hasty, published["one"], QUIET)
    assert looks[0] - begun < 1.5
    assert len(looks) == 4  # kubectl that does not answer is not asked again
    assert caplog.text.count("pod embedtune-triton-a: ErrImagePull: x:1") == 1


def test_the_error_names_the_pods_that_do_not_come_up(
    site: ServingSite, published: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "stuck_pods", lambda deploy: ["pod a: Unschedulable: no GPU"])
    monkeypatch.setattr(module, "LOOK_S", 0.2)
    monkeypatch.setattr(module, "NOBODY_S", 60.0)
    hasty = replace(site, deploy=DeploySettings(target="kubernetes", timeout_s=1.0))
    with pytest.raises(InputError, match=r"none after [12] s; pod a: Unschedulable: no GPU"):
        go_live(hasty, published["one"], QUIET)


def test_an_unknown_release_is_named(site: ServingSite, published: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"no such release(.|\n)*00000000"):
        go_live(site, "00000000", QUIET)


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
