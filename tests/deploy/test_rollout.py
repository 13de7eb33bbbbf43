"""Going live, and back: whatever fails, what was live before is live again."""

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import GateError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import Environment, go_live
from embedtune.serve.store.lease import acquire
from embedtune.serve.store.objects import ConflictError
from embedtune.serve.store.store import LOCK, ReleaseStore
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server
from tests.support.serving_world import FakeEncoder, FakeServing, make_release


@pytest.fixture
def here(tmp_path: Path, config: Config) -> Environment:
    """This machine, without a store."""
    serving = FakeServing(tmp_path)
    return Environment(config, serving, tmp_path, None, lambda contract, model: FakeEncoder(serving))


def serving(environment: Environment) -> FakeServing:
    assert isinstance(environment.serving, FakeServing)
    return environment.serving


def test_a_good_release_goes_live(here: Environment, tmp_path: Path) -> None:
    name = make_release(tmp_path, "one")
    smoke = go_live(here, name, SilentProgress())
    assert serving(here).served == name
    assert len(smoke.cosines) == 32
    assert smoke.cosines.min() > 0.9999


def test_the_live_release_is_proven_again_without_a_switch(here: Environment, tmp_path: Path) -> None:
    name = make_release(tmp_path, "one")
    go_live(here, name, SilentProgress())
    go_live(here, name, SilentProgress())
    assert serving(here).log == [name]


def test_wrong_vectors_bring_back_the_last_release(here: Environment, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one"), make_release(tmp_path, "two", wrong=True)
    go_live(here, good, SilentProgress())
    with pytest.raises(GateError, match=rf"{bad} failed; {good} is live again(.|\n)*trained vectors"):
        go_live(here, bad, SilentProgress())
    assert serving(here).log == [good, bad, good]
    assert serving(here).served == good


def test_a_release_that_does_not_start_brings_back_the_last_one(here: Environment, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one"), make_release(tmp_path, "two")
    go_live(here, good, SilentProgress())
    serving(here).broken.add(bad)
    with pytest.raises(GateError, match=rf"{good} is live again(.|\n)*does not start"):
        go_live(here, bad, SilentProgress())
    assert serving(here).served == good


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
def test_the_endpoint_must_be_as_near_as_export_demands_unless_deploy_says_otherwise(
    here: Environment, tmp_path: Path, precision: str, cosine: float, demanded: float | None, passes: bool
) -> None:
    config = here.config.model_copy(update={"deploy": DeploySettings(min_cosine=demanded)})
    name = make_release(tmp_path, "one", precision=precision, cosine=cosine)
    with nullcontext() if passes else pytest.raises(GateError, match="32 of 32 texts drifted"):
        smoke = go_live(replace(here, config=config), name, SilentProgress())
        assert smoke.cosines.min() == pytest.approx(cosine, abs=1e-5)


def test_an_interruption_brings_back_the_last_release(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, new = make_release(tmp_path, "one"), make_release(tmp_path, "two")
    go_live(here, good, SilentProgress())

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEncoder, "encode_queries", interrupt)
    with pytest.raises(KeyboardInterrupt):
        go_live(here, new, SilentProgress())
    assert serving(here).served == good


def test_a_way_back_that_fails_too_says_both(here: Environment, tmp_path: Path) -> None:
    good, bad = make_release(tmp_path, "one"), make_release(tmp_path, "two")
    go_live(here, good, SilentProgress())
    serving(here).broken |= {good, bad}
    with pytest.raises(GateError, match=rf"{bad} does not start(.|\n)*{good} does not start(.|\n)*promote {good}"):
        go_live(here, bad, SilentProgress())


def test_a_first_release_that_fails_is_not_served(here: Environment, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"nothing is live(.|\n)*trained vectors"):
        go_live(here, make_release(tmp_path, "one", wrong=True), SilentProgress())
    assert serving(here).served is None


def test_a_first_release_that_fails_and_does_not_go_says_both(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stay(self: FakeServing) -> None:
        raise GateError("pods still answer", fix="scale it down")

    monkeypatch.setattr(FakeServing, "withdraw", stay)
    said = r"taking it away failed too(.|\n)*trained vectors(.|\n)*pods still answer(.|\n)*scale it down"
    with pytest.raises(GateError, match=said):
        go_live(here, make_release(tmp_path, "one", wrong=True), SilentProgress())


def test_a_release_that_is_nowhere_is_named(here: Environment) -> None:
    with pytest.raises(InputError, match="no release 0000"):
        here.release("0000")


def test_a_mistyped_id_does_not_touch_what_serves(here: Environment, tmp_path: Path, monkeypatch) -> None:
    go_live(here, make_release(tmp_path, "one"), SilentProgress())
    monkeypatch.setattr(FakeServing, "switch", lambda *_: pytest.fail("the service was restarted"))
    with pytest.raises(InputError, match="no release 0000"):
        go_live(here, "0000", SilentProgress())


@pytest.fixture
def published(here: Environment, tmp_path: Path):
    """The same, with a store that holds two good releases and a wrong one; they stand nowhere else."""
    with a_bucket() as bucket:
        store = ReleaseStore(f"s3://{bucket.name}/r", STORAGE, SECRETS, 1.5)
        for model, wrong in (("one", False), ("two", False), ("three", True)):
            name = make_release(tmp_path / "built", model, wrong=wrong)
            store.publish(tmp_path / "built" / name, {"model": model})
        yield Environment(here.config, here.serving, here.releases, store, here.connect)


def names(environment: Environment) -> dict[str, str]:
    assert environment.store is not None
    return {release.origin["model"]: release.id for release in environment.store.releases()}


def recorded(environment: Environment) -> tuple[str, tuple[str, ...]] | None:
    assert environment.store is not None
    live = environment.store.live()
    return (live.id, live.before) if live else None


@needs_server
def test_the_champion_is_recorded_after_the_proof_and_not_before(published: Environment) -> None:
    name = names(published)
    with pytest.raises(GateError):
        go_live(published, name["three"], SilentProgress())
    assert recorded(published) is None
    go_live(published, name["one"], SilentProgress())
    assert recorded(published) == (name["one"], ())
    with pytest.raises(GateError):
        go_live(published, name["three"], SilentProgress())
    assert recorded(published) == (name["one"], ())
    assert serving(published).served == name["one"]


@needs_server
def test_what_is_served_without_a_proof_is_no_champion(published: Environment) -> None:
    name = names(published)
    serving(published).served = name["three"]
    assert published.champion() is None
    go_live(published, name["one"], SilentProgress())
    serving(published).served = name["three"]
    assert published.champion() == "one"


@needs_server
def test_a_switch_that_was_cut_off_goes_back_to_the_recorded_champion(published: Environment) -> None:
    # A deploy that was killed after its switch: something is served that nobody proved.
    name = names(published)
    go_live(published, name["one"], SilentProgress())
    serving(published).served = name["two"]
    with pytest.raises(GateError, match=f"{name['one']} is live again"):
        go_live(published, name["three"], SilentProgress())
    assert serving(published).served == name["one"]


@needs_server
def test_going_back_forgets_what_was_live_since(published: Environment) -> None:
    name = names(published)
    for model in ("one", "two"):
        go_live(published, name[model], SilentProgress())
    go_live(published, name["one"], SilentProgress(), back=True)
    assert recorded(published) == (name["one"], ())
    assert serving(published).served == name["one"]


@needs_server
@pytest.mark.parametrize("wrong", [False, True])
def test_whoever_lost_the_lock_in_mid_deploy_neither_records_nor_switches_any_more(
    published: Environment, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    name = names(published)
    go_live(published, name["one"], SilentProgress())
    monkeypatch.setattr(
        "embedtune.serve.store.lease.Lease._keep", lambda self, stop: None
    )  # its renewals do not arrive
    store, others = published.store, []

    def stall(contract: EncoderContract, model: str) -> FakeEncoder:
        time.sleep(2.5)
        others.append(acquire(store.objects, LOCK, {}, life_s=1.5))
        return FakeEncoder(serving(published))

    with pytest.raises(GateError if wrong else ConflictError):
        go_live(replace(published, connect=stall), name["three" if wrong else "two"], SilentProgress())
    assert others[0] is not None
    assert recorded(published) == (name["one"], ())
    assert serving(published).log == [name["one"], name["three" if wrong else "two"]]
