"""On one machine: evaluate compares with what is live in the release store, without being told."""

from pathlib import Path

import pytest

from embedtune.core.artifacts import read_artifact, read_manifest, write_artifact
from embedtune.core.comparisons import CHAMPION_MODEL, Comparisons
from embedtune.core.config.load import parse_config
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.stage import Context
from embedtune.local.champion import with_live_model
from embedtune.local.preflight.finding import IntendedRun
from embedtune.local.preflight.serving import check_release_store
from embedtune.serve.store import pointer
from embedtune.serve.store.records import Candidate
from embedtune.serve.store.store import ReleaseStore
from tests.support.context import context, provenance
from tests.support.evaluation_site import model_artifact
from tests.support.object_store import ENDPOINT, SECRETS, a_bucket, needs_server
from tests.support.releases import make_release
from tests.support.tiny_model import make_tiny_model, tiny_contract

NOTHING = Comparisons()


class Work:
    """A work directory with models, and the store of its configuration."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self.contract = tiny_contract(make_tiny_model(folder / "base"))
        settings = {
            "contract": self.contract.model_dump(),
            "release": {"uri": uri},
            "storage": {"endpoint": ENDPOINT, "secure": False},
        }
        self.context: Context = context(parse_config(settings), folder / "cache", secrets=SECRETS)
        place = uri or str(folder / "cache" / "store")
        self.store = ReleaseStore(place, self.context.config.storage, SECRETS)

    def model(self, name: str, seed: int) -> Path:
        return model_artifact(self.folder / name, self.contract, seed)

    def deploy(self, model: Path, *, stored: bool = True) -> str:
        made = read_artifact(model, "model")
        if stored:
            self.store.add_model(made)
        release = make_release(self.folder / f"release-{model.name}", {"a": model.name.encode()})
        name = self.store.publish(release, made.fingerprint).id
        pointer.propose(self.store.objects, Candidate(id=name, token=name, hold=False))
        pointer.switch(self.store.objects, name)
        return made.fingerprint

    def champion(self, model: Path, given: Comparisons = NOTHING) -> Path | None:
        return with_live_model(given, model, self.folder / "evaluation", self.context).champion

    def check(self, stages: str, given: Comparisons = NOTHING) -> list[str]:
        run = IntendedRun(self.context.config, SECRETS, frozenset(stages.split()), self.folder, comparisons=given)
        return [finding.found for finding in check_release_store(run)]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_where_nothing_is_live_there_is_no_champion(work: Work) -> None:
    assert work.champion(work.model("new", 1)) is None
    assert work.check("evaluate deploy") == []


def test_the_live_model_is_the_champion_unless_one_is_named(work: Work) -> None:
    old, new = work.model("old", 0), work.model("new", 1)
    live = work.deploy(old)
    found = work.champion(new)
    assert found is not None and found != old
    assert read_manifest(found, "model").fingerprint == live
    assert work.champion(new, Comparisons(champion=old)) == old
    assert "is live" in work.check("evaluate deploy")[0]


def test_the_evaluation_of_the_live_model_stands(work: Work) -> None:
    first, second = work.model("first", 0), work.model("second", 1)
    beaten = work.deploy(first)
    assert work.champion(first) is None  # it was compared with nothing but the base
    work.deploy(second)
    inputs = {"model": read_manifest(second, "model").fingerprint, CHAMPION_MODEL: beaten}
    with write_artifact(work.folder / "evaluation", "evaluation", provenance(inputs=inputs)) as draft:
        for name in ("metrics.json", "per_query.parquet", "verdict.json"):
            (draft.path / name).write_text("")
    found = work.champion(second)
    assert found is not None and read_manifest(found, "model").fingerprint == beaten
    # Another model is compared with what is live now.
    found = work.champion(first)
    assert found is not None and read_manifest(found, "model").fingerprint == inputs["model"]


def test_a_run_that_could_not_deploy_is_refused_before_its_first_stage(work: Work) -> None:
    old, new = work.model("old", 0), work.model("new", 1)
    work.deploy(old, stored=False)
    with pytest.raises(ConfigError, match=r"does not hold it(.|\n)*--champion"):
        work.check("evaluate deploy")
    assert work.check("evaluate") and work.check("deploy")  # one compares with less, the other has its evaluation
    assert work.champion(new) is None
    assert work.check("evaluate deploy", Comparisons(champion=old))
    with pytest.raises(ConfigError, match="another model is live than the champion that was named"):
        work.check("evaluate deploy", Comparisons(champion=new))


def test_a_lost_record_of_what_is_live_stops_a_run(work: Work) -> None:
    work.deploy(work.model("old", 0))
    work.store.objects.delete([pointer.POINTER])
    for stages in ("evaluate", "evaluate deploy"):
        with pytest.raises(ArtifactError, match="the record of it is lost"):
            work.check(stages)
    with pytest.raises(ArtifactError, match="the record of it is lost"):
        work.champion(work.model("new", 1))


@needs_server
def test_the_champion_is_copied_from_an_object_store_and_the_copy_of_the_last_one_goes(tmp_path: Path) -> None:
    with a_bucket() as bucket:
        work = Work(tmp_path, f"s3://{bucket.name}/releases")
        new = work.model("new", 9)
        for seed, name in enumerate(("one", "two")):
            model = work.model(name, seed)
            live, found = work.deploy(model), work.champion(new)
            assert found is not None and found.is_relative_to(tmp_path / "cache" / "champion" / live[:16])
            assert (found / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
        assert len(list((tmp_path / "cache" / "champion").iterdir())) == 1
