"""Rollout: whatever fails, the release that was live before is live again."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import go_live, previous
from embedtune.deploy.site import ServingSite
from embedtune.serve.release.record import Release
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.live_release import LIVE, LOCK
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.store import ReleaseStore
from tests.support.object_store import SECRETS, STORAGE, Bucket, a_bucket, needs_server
from tests.support.serving_world import FakeEncoder, FakeServing, make_release


@pytest.fixture
def here(tmp_path: Path, config: Config) -> ServingSite:
    """This machine, without a store."""
    serving = FakeServing(tmp_path)
    sections = (config.deploy, config.export, config.release)
    return ServingSite(*sections, serving, tmp_path, None, lambda contract, model: FakeEncoder(serving))


def serving(site: ServingSite) -> FakeServing:
    assert isinstance(site.serving, FakeServing)
    return site.serving


def test_a_good_release_goes_live(here: ServingSite, tmp_path: Path) -> None:
    release = make_release(tmp_path, "one")
    smoke = go_live(here, release, SilentProgress())
    assert serving(here).served == release.id
    assert len(smoke.cosines) == 32
    assert smoke.cosines.min() > 0.9999


def test_the_live_release_is_proven_again_without_a_switch(here: ServingSite, tmp_path: Path) -> None:
    release = make_release(tmp_path, "one")
    go_live(here, release, SilentProgress())
    go_live(here, release, SilentProgress())
    assert serving(here).log == [release.id]


def test_wrong_vectors_bring_back_the_last_release(here: ServingSite, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one"), make_release(tmp_path, "two", wrong=True)
    go_live(here, good, SilentProgress())
    with pytest.raises(GateError, match=rf"{bad.id} failed; {good.id} is live again(.|\n)*trained vectors"):
        go_live(here, bad, SilentProgress())
    assert serving(here).log == [good.id, bad.id, good.id]
    assert serving(here).served == good.id


def test_a_release_that_does_not_start_brings_back_the_last_one(here: ServingSite, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one"), make_release(tmp_path, "two")
    go_live(here, good, SilentProgress())
    serving(here).broken.add(bad.id)
    with pytest.raises(GateError, match=rf"{good.id} is live again(.|\n)*does not start"):
        go_live(here, bad, SilentProgress())
    assert serving(here).served == good.id


@pytest.mark.parametrize(
    ("precision", "cosine", "demanded", "passes"),
    [
        ("fp32", 0.99995, None, True),
        ("fp32", 0.9998, None, False),
        ("fp16", 0.9998, None, True),
        ("int8", 0.98, None, True),
        ("int8", 0.96, None, False),
        ("int8", 0.98, 0.999, False),
        ("fp32", 0.98, 0.9, True),
    ],
)
def test_the_endpoint_must_be_as_close_as_export_requires_unless_deploy_sets_a_limit(
    here: ServingSite, tmp_path: Path, precision: str, cosine: float, demanded: float | None, passes: bool
) -> None:
    site = replace(here, deploy=DeploySettings(min_cosine=demanded))
    release = make_release(tmp_path, "one", precision=precision, cosine=cosine)
    with nullcontext() if passes else pytest.raises(GateError, match="32 of 32 texts are below the limit"):
        smoke = go_live(site, release, SilentProgress())
        assert smoke.cosines.min() == pytest.approx(cosine, abs=1e-5)


def test_an_interruption_brings_back_the_last_release(
    here: ServingSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, new = make_release(tmp_path, "one"), make_release(tmp_path, "two")
    go_live(here, good, SilentProgress())

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEncoder, "encode_queries", interrupt)
    with pytest.raises(KeyboardInterrupt):
        go_live(here, new, SilentProgress())
    assert serving(here).served == good.id


def test_if_going_back_fails_too_both_errors_are_reported(here: ServingSite, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one").id, make_release(tmp_path, "two").id
    go_live(here, here.find(good), SilentProgress())
    serving(here).broken |= {good, bad}
    with pytest.raises(GateError, match=rf"{bad} does not start(.|\n)*{good} does not start(.|\n)*promote {good}"):
        go_live(here, here.find(bad), SilentProgress())


def test_a_first_release_that_fails_is_not_served(here: ServingSite, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"nothing is live(.|\n)*trained vectors"):
        go_live(here, make_release(tmp_path, "one", wrong=True), SilentProgress())
    assert serving(here).served is None


def test_if_a_first_release_fails_and_cannot_be_withdrawn_both_errors_are_reported(
    here: ServingSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stay(self: FakeServing) -> None:
        raise GateError("pods still answer", fix="scale it down")

    monkeypatch.setattr(FakeServing, "withdraw", stay)
    said = r"withdrawing it failed too(.|\n)*trained vectors(.|\n)*pods still answer(.|\n)*scale it down"
    with pytest.raises(GateError, match=said):
        go_live(here, make_release(tmp_path, "one", wrong=True), SilentProgress())


def test_an_unknown_release_is_named(here: ServingSite) -> None:
    with pytest.raises(InputError, match="no release 0000"):
        here.find("0000")


def test_without_a_store_there_is_no_history_to_go_back_in(here: ServingSite) -> None:
    with pytest.raises(InputError, match="no release history"):
        previous(here)


@pytest.fixture
def bucket():
    with a_bucket() as made:
        yield made


@pytest.fixture
def published(here: ServingSite, bucket: Bucket, tmp_path: Path) -> ServingSite:
    """The same, with a store that holds two good releases and a wrong one; they exist nowhere else."""
    store = ReleaseStore(f"s3://{bucket.name}/r", STORAGE, SECRETS, 1.5)
    for model, wrong in (("one", False), ("two", False), ("three", True)):
        store.publish(make_release(tmp_path / "built", model, wrong=wrong), model)
    return replace(here, store=store)


def releases(site: ServingSite) -> dict[str, Release]:
    """Return the published releases by the name of their model."""
    assert site.store is not None
    return {release.model: site.find(release.id) for release in site.store.releases()}


def recorded(site: ServingSite) -> tuple[str, tuple[str, ...]] | None:
    assert site.store is not None
    live = site.store.live()
    return (live.id, live.before) if live else None


@needs_server
def test_the_champion_is_recorded_after_the_proof_and_not_before(published: ServingSite) -> None:
    release = releases(published)
    with pytest.raises(GateError):
        go_live(published, release["three"], SilentProgress())
    assert recorded(published) is None
    go_live(published, release["one"], SilentProgress())
    assert recorded(published) == (release["one"].id, ())
    with pytest.raises(GateError):
        go_live(published, release["three"], SilentProgress())
    assert recorded(published) == (release["one"].id, ())
    assert serving(published).served == release["one"].id


@needs_server
def test_a_release_that_is_served_without_proof_is_not_the_champion(published: ServingSite) -> None:
    release = releases(published)
    serving(published).served = release["three"].id
    assert published.champion() is None
    go_live(published, release["one"], SilentProgress())
    serving(published).served = release["three"].id
    assert published.champion() == "one"


@needs_server
def test_after_an_interrupted_switch_the_recorded_champion_is_restored(published: ServingSite) -> None:
    # A deploy that was killed after its switch: an unproven release is served.
    release = releases(published)
    go_live(published, release["one"], SilentProgress())
    serving(published).served = release["two"].id
    with pytest.raises(GateError, match=f"{release['one'].id} is live again"):
        go_live(published, release["three"], SilentProgress())
    assert serving(published).served == release["one"].id


@needs_server
def test_going_back_forgets_what_was_live_since(published: ServingSite) -> None:
    release = releases(published)
    for model in ("one", "two"):
        go_live(published, release[model], SilentProgress())
    assert previous(published) == release["one"].id
    go_live(published, release["one"], SilentProgress(), back=True)
    assert recorded(published) == (release["one"].id, ())
    assert serving(published).served == release["one"].id


UNREADABLE = {
    "damaged": (b"{", "is damaged"),
    "old": (json.dumps({"id": "0000", "since": "", "before": []}).encode(), "version 0"),
}


@needs_server
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_live_pointer_stops_a_deployment(published: ServingSite, bucket: Bucket, kind: str) -> None:
    release = releases(published)
    go_live(published, release["one"], SilentProgress())
    text, reason = UNREADABLE[kind]
    bucket.put(f"r/{LIVE}", text)
    said = rf"it is not known which release is live(.|\n)*{reason}(.|\n)*delete s3://.*/r/{LIVE}(.|\n)*promote ID"
    for attempt in (published.champion, published.before):
        with pytest.raises(ArtifactError, match=said):
            attempt()
    with pytest.raises(ArtifactError, match=said):
        go_live(published, release["two"], SilentProgress())
    assert serving(published).log == [release["one"].id]  # not even tried
    assert bucket.client.get_object(bucket.name, f"r/{LIVE}").data == text


@needs_server
def test_an_unreadable_record_of_the_live_release_stops_a_deployment(
    published: ServingSite, bucket: Bucket
) -> None:
    release = releases(published)
    go_live(published, release["one"], SilentProgress())
    bucket.put(f"r/releases/{release['one'].id}.json", b"{}")
    with pytest.raises(ArtifactError, match=r"it is not known which release is live(.|\n)*version 0"):
        published.champion()


@needs_server
@pytest.mark.parametrize("wrong", [False, True])
def test_a_process_that_lost_the_lock_during_a_deploy_neither_records_nor_switches(
    published: ServingSite, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    release = releases(published)
    go_live(published, release["one"], SilentProgress())
    # Its renewals do not arrive.
    monkeypatch.setattr("embedtune.serve.store.lease.Lease._keep", lambda self, stop: None)
    store, others = published.store, []
    assert store is not None

    def stall(contract: EncoderContract, model: str) -> FakeEncoder:
        time.sleep(2.5)
        others.append(acquire(store.objects, LOCK, life_s=1.5))
        return FakeEncoder(serving(published))

    tried = release["three" if wrong else "two"]
    with pytest.raises(GateError if wrong else ConflictError):
        go_live(replace(published, connect=stall), tried, SilentProgress())
    assert others[0] is not None
    assert recorded(published) == (release["one"].id, ())
    assert serving(published).log == [release["one"].id, tried.id]
